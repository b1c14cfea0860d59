"""An index of the jobs that wait, in the order in which each EHR's are due.

Source: `adapters/ledger/schema.py` at this revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Add the index."""
    waits = sa.text("state || '' = 'open' AND lease_expires_at IS NULL")
    op.create_index(
        "ix_job_line",
        "job",
        ["tenant_id", "priority", "due_at", "id", "rung_at", "state", "lease_expires_at"],
        sqlite_where=waits,
        postgresql_where=waits,
    )
