"""Image form: in which transfer syntax a site's archives are asked for images.

Source: `adapters/ledger/schema.py` at this revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0013"


def upgrade() -> None:
    """Add the setting; images are asked for as they are stored, as before."""
    with op.batch_alter_table("tenant") as table:
        table.add_column(sa.Column("images", sa.String()))
    tenant = sa.table("tenant", sa.column("images", sa.String))
    op.get_bind().execute(sa.update(tenant).values(images="as-stored"))
    with op.batch_alter_table("tenant") as table:
        table.alter_column("images", existing_type=sa.String(), nullable=False)
