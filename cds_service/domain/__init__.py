"""Values and rules of the field; the standard library and itself only."""
