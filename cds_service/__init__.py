"""Sightline: imaging-AI findings where clinicians already look."""
