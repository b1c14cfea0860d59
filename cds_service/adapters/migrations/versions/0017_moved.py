"""Indexes by study: whose else a study was, before a job for one patient takes it over.

Source: `adapters/ledger/schema.py` at this revision.
"""

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Add the indexes."""
    op.create_index("ix_result_study_uid", "result", ["study_uid"])
    op.create_index("ix_job_study_uid", "job", ["study_uid"])
