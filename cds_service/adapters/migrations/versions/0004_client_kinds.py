"""Client kinds: how Sightline proves at an EHR's token endpoint who it is.

Source: `adapters/ledger/schema.py` at this revision; SMART App Launch 2.2 "Support for public and
confidential apps".
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns; an EHR that is registered goes on getting signed assertions."""
    with op.batch_alter_table("tenant") as table:
        table.add_column(sa.Column("client_kind", sa.String()))
        table.add_column(sa.Column("client_secret", sa.LargeBinary()))
    tenant = sa.table("tenant", sa.column("client_kind", sa.String))
    op.get_bind().execute(sa.update(tenant).values(client_kind="asymmetric"))
    with op.batch_alter_table("tenant") as table:
        table.alter_column("client_kind", existing_type=sa.String(), nullable=False)
