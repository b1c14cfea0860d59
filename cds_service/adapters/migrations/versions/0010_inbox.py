"""The inbox: what archives pushed, and who may push.

Source: `adapters/ledger/schema.py` at this revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

TIME = sa.DateTime(timezone=True)
TEXT = sa.String()


def upgrade() -> None:
    """Add the tables; nothing has been pushed yet."""
    op.create_table(
        "inbox_study",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("study_uid", TEXT, nullable=False),
        sa.Column("sealed_accession", sa.LargeBinary()),
        sa.Column("patient_id", TEXT),
        sa.Column("first_at", TIME, nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.Column("asked_at", TIME),
        sa.PrimaryKeyConstraint("tenant_id", "study_uid", name="pk_inbox_study"),
    )
    op.create_table(
        "inbox_instance",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("sop_uid", TEXT, nullable=False),
        sa.Column("study_uid", TEXT, nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("arrived_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("tenant_id", "sop_uid", name="pk_inbox_instance"),
    )
    op.create_index(
        "ix_inbox_instance_tenant_id_study_uid", "inbox_instance", ["tenant_id", "study_uid"]
    )
    op.create_table(
        "push_credential",
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("kind", TEXT, nullable=False),
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_push_credential"),
    )
