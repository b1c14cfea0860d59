"""The CDS Hooks front door."""
