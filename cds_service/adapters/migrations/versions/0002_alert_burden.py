"""Alert burden: who was shown which finding, a site's settings, and its counts.

Source: `adapters/ledger/schema.py` at this revision; docs/reference/hook-service.md.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

TEXT = sa.String()


def upgrade() -> None:
    """Add the columns and the tables; rows that exist stay as they are."""
    for column in ("service_id", "hook", "finding_code", "reader"):
        op.add_column("card_shown", sa.Column(column, TEXT))
    op.create_table(
        "alert_policy",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("finding_code", TEXT, nullable=False),
        sa.Column("minimum_indicator", TEXT, nullable=False),
        sa.Column("quiet_after_override", sa.Boolean(), nullable=False),
        sa.Column("quiet_when_acknowledged", sa.Boolean(), nullable=False),
        sa.Column("budget_per_100_charts", sa.Integer()),
        sa.Column("order_check_days", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "finding_code", name="pk_alert_policy"),
    )
    op.create_table(
        "alert_count",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("finding_code", TEXT, nullable=False),
        sa.Column("charts", sa.Integer(), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("held_back", sa.Integer(), nullable=False),
        sa.Column("held_back_ever", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "finding_code", name="pk_alert_count"),
    )
