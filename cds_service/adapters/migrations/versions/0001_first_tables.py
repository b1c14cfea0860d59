"""The first tables: tenants, jobs, results, publications, reviews, cards, audit.

Source: architecture "The ledger is SQL"; `adapters/ledger/schema.py` at this revision.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TIME = sa.DateTime(timezone=True)
TEXT = sa.String()


def upgrade() -> None:
    """Make every table; needs an empty database."""
    _make_tenants()
    _make_results()
    _make_jobs()
    _make_logs()
    _protect_audit_log()


def _make_tenants() -> None:
    op.create_table(
        "tenant",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("fhir_base", TEXT, nullable=False),
        sa.Column("hook_issuer", TEXT, nullable=False),
        sa.Column("jwks_url", TEXT),
        sa.Column("jwks", sa.Text()),
        sa.Column("jku", TEXT),
        sa.Column("client_id", TEXT),
        sa.Column("archive_base", TEXT),
        sa.Column("origins", sa.JSON(), nullable=False),
        sa.Column("vendor", TEXT, nullable=False),
        sa.Column("backend_services", sa.Boolean(), nullable=False),
        sa.Column("shows_running", sa.Boolean(), nullable=False),
        sa.Column("shows_negative", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tenant"),
        sa.UniqueConstraint("fhir_base", name="uq_tenant_fhir_base"),
        sa.UniqueConstraint("hook_issuer", name="uq_tenant_hook_issuer"),
        sa.UniqueConstraint("name", name="uq_tenant_name"),
    )


def _make_results() -> None:
    op.create_table(
        "result",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("patient_id", TEXT, nullable=False),
        sa.Column("study_uid", TEXT, nullable=False),
        sa.Column("imaging_study_id", TEXT),
        sa.Column("study_started", TEXT),
        sa.Column("study_description", TEXT, nullable=False),
        sa.Column("analysis", sa.JSON(), nullable=False),
        sa.Column("computed_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_result"),
        sa.UniqueConstraint("key", name="uq_result_key"),
    )
    op.create_index(
        "ix_result_tenant_id_patient_id_study_uid_computed_at",
        "result",
        ["tenant_id", "patient_id", "study_uid", "computed_at"],
    )
    op.create_table(
        "publication",
        sa.Column("result_id", TEXT, nullable=False),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("references", sa.JSON(), nullable=False),
        sa.Column("lost", sa.JSON(), nullable=False),
        sa.Column("recorded_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"], name="fk_publication_result_id"),
        sa.PrimaryKeyConstraint("result_id", name="pk_publication"),
    )
    op.create_table(
        "review",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("result_id", TEXT, nullable=False),
        sa.Column("finding_code", TEXT, nullable=False),
        sa.Column("verdict", TEXT, nullable=False),
        sa.Column("reviewer", TEXT, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"], name="fk_review_result_id"),
        sa.PrimaryKeyConstraint("seq", name="pk_review"),
    )
    op.create_index("ix_review_result_id_reviewer", "review", ["result_id", "reviewer"])


def _make_jobs() -> None:
    op.create_table(
        "job",
        sa.Column("id", TEXT, nullable=False),
        sa.Column("dispatch_key", TEXT, nullable=False),
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("patient_id", TEXT, nullable=False),
        sa.Column("study_uid", TEXT, nullable=False),
        sa.Column("study", sa.JSON(), nullable=False),
        sa.Column("model_id", TEXT, nullable=False),
        sa.Column("sealed_patient", sa.LargeBinary()),
        sa.Column("state", TEXT, nullable=False),
        sa.Column("step", TEXT, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("crashes", sa.Integer(), nullable=False),
        sa.Column("error", TEXT),
        sa.Column("result_id", TEXT),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("lease_owner", TEXT),
        sa.Column("lease_expires_at", TIME),
        sa.Column("rung_at", TIME),
        sa.Column("swept_by", TEXT),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("started_at", TIME),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"], name="fk_job_result_id"),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint("dispatch_key", name="uq_job_dispatch_key"),
    )
    op.create_index("ix_job_state_created_at", "job", ["state", "created_at"])
    op.create_index("ix_job_swept_by", "job", ["swept_by"])
    op.create_index(
        "ix_job_tenant_id_patient_id_study_uid_created_at",
        "job",
        ["tenant_id", "patient_id", "study_uid", "created_at"],
    )


def _make_logs() -> None:
    op.create_table(
        "card_shown",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("card_uuid", TEXT, nullable=False),
        sa.Column("result_id", TEXT),
        sa.Column("shown_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["result_id"], ["result.id"], name="fk_card_shown_result_id"),
        sa.PrimaryKeyConstraint("tenant_id", "card_uuid", name="pk_card_shown"),
    )
    op.create_index("ix_card_shown_result_id", "card_shown", ["result_id"])
    op.create_table(
        "feedback",
        sa.Column("tenant_id", TEXT, nullable=False),
        sa.Column("card_uuid", TEXT, nullable=False),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("outcome_at", TIME, nullable=False),
        sa.Column("reason", sa.JSON()),
        sa.Column("has_comment", sa.Boolean(), nullable=False),
        sa.Column("suggestion_ids", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["tenant_id", "card_uuid"],
            ["card_shown.tenant_id", "card_shown.card_uuid"],
            name="fk_feedback_tenant_id_card_uuid",
        ),
        sa.PrimaryKeyConstraint(
            "tenant_id", "card_uuid", "outcome", "outcome_at", name="pk_feedback"
        ),
    )
    op.create_table(
        "used_jti",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_used_jti"),
    )
    op.create_index("ix_used_jti_expires_at", "used_jti", ["expires_at"])
    op.create_table(
        "audit_event",
        sa.Column("seq", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("action", TEXT, nullable=False),
        sa.Column("tenant_id", TEXT),
        sa.Column("agent", TEXT, nullable=False),
        sa.Column("outcome", TEXT, nullable=False),
        sa.Column("patient_id", TEXT),
        sa.Column("study_uid", TEXT),
        sa.Column("detail", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_audit_event"),
    )
    op.create_index(
        "ix_audit_event_tenant_id_patient_id_at", "audit_event", ["tenant_id", "patient_id", "at"]
    )


def _protect_audit_log() -> None:
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER audit_event_refuses_{verb.lower()} BEFORE {verb} ON audit_event "
                "BEGIN SELECT RAISE(ABORT, 'the audit log is append-only'); END"
            )
        return
    op.execute(
        "CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_event_refuses_change BEFORE UPDATE OR DELETE OR TRUNCATE "
        "ON audit_event FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change()"
    )
