"""Alembic's environment and revisions; run by `cds_service.adapters.ledger.upgrade`."""
