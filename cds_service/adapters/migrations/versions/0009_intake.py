"""Intake: which doors an EHR's administrator opened, and how far each has read.

Source: `adapters/ledger/schema.py` at this revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the switch; every door of an EHR that is registered is closed."""
    with op.batch_alter_table("tenant") as table:
        table.add_column(sa.Column("doors", sa.JSON()))
        table.add_column(sa.Column("change_feed", sa.String()))
    tenant = sa.table("tenant", sa.column("doors", sa.JSON))
    op.get_bind().execute(sa.update(tenant).values(doors=[]))
    with op.batch_alter_table("tenant") as table:
        table.alter_column("doors", existing_type=sa.JSON(), nullable=False)
    op.create_table(
        "intake_cursor",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("door", sa.String(), nullable=False),
        sa.Column("position", sa.JSON(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "door", name="pk_intake_cursor"),
    )
    op.create_table(
        "intake_bell",
        sa.Column("tenant_id", sa.String(), nullable=False),
        sa.Column("path_digest", sa.String(64), nullable=False),
        sa.Column("header_digest", sa.String(64), nullable=False),
        sa.Column("subscription_id", sa.String()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", name="pk_intake_bell"),
        sa.UniqueConstraint("path_digest", name="uq_intake_bell_path_digest"),
    )
