"""Binding: how strictly images are matched to patients, what was not, and further archives.

Source: `adapters/ledger/schema.py` at this revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the settings; an EHR that is registered has one archive, matched as before."""
    with op.batch_alter_table("tenant") as table:
        table.add_column(sa.Column("binding", sa.String()))
        table.add_column(sa.Column("other_archives", sa.JSON()))
    tenant = sa.table(
        "tenant", sa.column("binding", sa.String), sa.column("other_archives", sa.JSON)
    )
    op.get_bind().execute(sa.update(tenant).values(binding="standard", other_archives=[]))
    with op.batch_alter_table("tenant") as table:
        table.alter_column("binding", existing_type=sa.String(), nullable=False)
        table.alter_column("other_archives", existing_type=sa.JSON(), nullable=False)
    op.create_index("ix_audit_event_action_at", "audit_event", ["action", "at"])
