"""Which requirement of CDS Hooks is shown by which test: `python -m tests.conformance`."""
