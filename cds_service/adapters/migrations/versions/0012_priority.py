"""Priority: how soon a job should be done, and when it has waited for too long.

Source: `adapters/ledger/schema.py` at this revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

ASKED = 1  # domain/line.py at this revision


def upgrade() -> None:
    """Add the columns; what is open was asked for by a hook or a page."""
    with op.batch_alter_table("job") as table:
        table.add_column(sa.Column("priority", sa.Integer()))
        table.add_column(sa.Column("due_at", sa.DateTime(timezone=True)))
    job = sa.table(
        "job",
        sa.column("priority", sa.Integer),
        sa.column("due_at", sa.DateTime(timezone=True)),
        sa.column("created_at", sa.DateTime(timezone=True)),
    )
    op.get_bind().execute(sa.update(job).values(priority=ASKED, due_at=job.c.created_at))
    with op.batch_alter_table("job") as table:
        table.alter_column("priority", existing_type=sa.Integer(), nullable=False)
        table.alter_column("due_at", existing_type=sa.DateTime(timezone=True), nullable=False)
    op.create_index("ix_job_tenant_id_started_at", "job", ["tenant_id", "started_at"])
