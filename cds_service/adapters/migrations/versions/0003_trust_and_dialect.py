"""Trust and dialect: what an EHR's tokens may say, and what its cards look like.

Two EHRs may share an issuer where their tokens name different tenants, so it is unique no more.

Source: `adapters/ledger/schema.py` at this revision; CDS Hooks 2.0 "Trusting CDS Clients".
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

LISTS = ("jkus", "algorithms", "audiences", "tenant_claims")


def upgrade() -> None:
    """Add the columns; a registration that exists means what it meant before."""
    with op.batch_alter_table("tenant") as table:
        for name in LISTS:
            table.add_column(sa.Column(name, sa.JSON()))
        table.add_column(sa.Column("subject", sa.String()))
        table.add_column(sa.Column("discovery_needs_token", sa.Boolean()))
        table.add_column(sa.Column("dialect", sa.String()))
    _fill()
    with op.batch_alter_table("tenant") as table:
        for name in LISTS:
            table.alter_column(name, existing_type=sa.JSON(), nullable=False)
        table.alter_column("discovery_needs_token", existing_type=sa.Boolean(), nullable=False)
        table.alter_column("dialect", existing_type=sa.String(), nullable=False)
        table.drop_column("jku")
        table.drop_constraint("uq_tenant_hook_issuer", type_="unique")


def _fill() -> None:
    tenant = sa.table(
        "tenant",
        *(sa.column(name, sa.JSON) for name in LISTS),
        sa.column("id", sa.String),
        sa.column("jku", sa.String),
        sa.column("vendor", sa.String),
        sa.column("dialect", sa.String),
        sa.column("discovery_needs_token", sa.Boolean),
    )
    connection = op.get_bind()
    for row in connection.execute(sa.select(tenant.c.id, tenant.c.jku, tenant.c.vendor)).all():
        connection.execute(
            sa.update(tenant)
            .where(tenant.c.id == row.id)
            .values(
                jkus=[row.jku] if row.jku else [],
                algorithms=["ES384", "RS384"],
                audiences=[],
                tenant_claims=[],
                discovery_needs_token=False,
                dialect=row.vendor if row.vendor in ("epic", "oracle") else "strict-2.0",
            )
        )
