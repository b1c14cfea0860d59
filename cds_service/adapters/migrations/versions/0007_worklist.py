"""The worklist: whom a site lets in, who reviews, how long a critical finding may wait.

Source: `adapters/ledger/schema.py` at this revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

CLINICIANS = ["Practitioner", "PractitionerRole"]
LISTS = ("app_users", "reviewers")


def upgrade() -> None:
    """Add settings and indexes; an EHR that is registered gets the defaults."""
    with op.batch_alter_table("tenant") as table:
        for name in LISTS:
            table.add_column(sa.Column(name, sa.JSON()))
        table.add_column(sa.Column("critical_limit_min", sa.Integer()))
    tenant = sa.table(
        "tenant",
        *(sa.column(name, sa.JSON) for name in LISTS),
        sa.column("critical_limit_min", sa.Integer),
    )
    defaults = {**dict.fromkeys(LISTS, CLINICIANS), "critical_limit_min": 60}
    op.get_bind().execute(sa.update(tenant).values(defaults))
    with op.batch_alter_table("tenant") as table:
        for name in LISTS:
            table.alter_column(name, existing_type=sa.JSON(), nullable=False)
        table.alter_column("critical_limit_min", existing_type=sa.Integer(), nullable=False)
    op.create_index("ix_result_tenant_id_computed_at", "result", ["tenant_id", "computed_at"])
    op.create_index("ix_job_tenant_id_created_at", "job", ["tenant_id", "created_at"])
