"""Reviews: reason, place and comment of each, and the way of a result's reviews to its chart.

Source: `adapters/ledger/schema.py` at this revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0004"

TIME = sa.DateTime(timezone=True)
TEXT = sa.String()


def upgrade() -> None:
    """Add the columns and the outbox; what was said before has no more to it."""
    op.add_column("review", sa.Column("reason", TEXT))
    op.add_column("review", sa.Column("region", sa.JSON(none_as_null=True)))
    op.add_column("review", sa.Column("sealed_comment", sa.LargeBinary()))
    op.create_index(
        "ix_review_tenant_id_finding_code_at", "review", ["tenant_id", "finding_code", "at"]
    )
    op.create_table(
        "review_write",
        sa.Column("result_id", TEXT, nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("references", sa.JSON(), nullable=False),
        sa.Column("lost", sa.JSON(), nullable=False),
        sa.Column("error", TEXT),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("lease_expires_at", TIME),
        sa.Column("ring_at", TIME, nullable=False),
        sa.Column("waiting_since", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("result_id", name="pk_review_write"),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"], name="fk_review_write_result_id"),
    )
    op.create_index("ix_review_write_state_ring_at", "review_write", ["state", "ring_at"])
