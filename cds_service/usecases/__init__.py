"""What Sightline does, one verb per module, seen through ports."""
