"""Languages: what a site's cards speak, and whether it wants translations nobody reviewed.

Source: `adapters/ledger/schema.py` at this revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the settings; an EHR that is registered goes on in English."""
    with op.batch_alter_table("tenant") as table:
        table.add_column(sa.Column("language", sa.String()))
        table.add_column(sa.Column("shows_drafts", sa.Boolean()))
    tenant = sa.table("tenant", sa.column("shows_drafts", sa.Boolean))
    op.get_bind().execute(sa.update(tenant).values(shows_drafts=False))
    with op.batch_alter_table("tenant") as table:
        table.alter_column("shows_drafts", existing_type=sa.Boolean(), nullable=False)
