"""The intake doors."""
