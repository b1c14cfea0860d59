"""Mismatch cards: whether a site's clinicians see that images were not their patient's.

Source: `adapters/ledger/schema.py` at this revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    """Add the setting; the cards are shown, as before."""
    with op.batch_alter_table("tenant") as table:
        table.add_column(sa.Column("shows_mismatch", sa.Boolean()))
    tenant = sa.table("tenant", sa.column("shows_mismatch", sa.Boolean))
    op.get_bind().execute(sa.update(tenant).values(shows_mismatch=True))
    with op.batch_alter_table("tenant") as table:
        table.alter_column("shows_mismatch", existing_type=sa.Boolean(), nullable=False)
