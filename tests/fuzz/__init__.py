"""Input that nobody would send on purpose, against the application as it is installed."""
