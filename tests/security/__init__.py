"""Attacks, each refused before anything is called or shown."""
