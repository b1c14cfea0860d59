"""One module per revision of the ledger's tables; a published one never changes."""
