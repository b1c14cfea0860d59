"""Archive credentials: what an archive asks for that takes no token of the EHR.

Source: `adapters/ledger/schema.py` at this revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the column; every archive is asked with Sightline's token of the EHR, as before."""
    with op.batch_alter_table("tenant") as table:
        table.add_column(sa.Column("archive_credentials", sa.JSON()))
    tenant = sa.table("tenant", sa.column("archive_credentials", sa.JSON))
    op.get_bind().execute(sa.update(tenant).values(archive_credentials=[]))
    with op.batch_alter_table("tenant") as table:
        table.alter_column("archive_credentials", existing_type=sa.JSON(), nullable=False)
