"""Which requirement of a standard is shown by which test: `python -m tests.conformance`."""
