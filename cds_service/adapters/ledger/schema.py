"""The tables of the ledger, one place for every statement of this package.

A change here needs a revision in `adapters/migrations/versions`; a test compares the two.

Source: architecture "The ledger is SQL", "Three keys"; CDS Hooks 2.0 "Feedback".
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator


class UtcTime(TypeDecorator[datetime]):
    """An aware time, kept in UTC: timestamptz in PostgreSQL, sortable text in SQLite."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a naive time; SQLite stores no zone, so it gets UTC without one."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("the ledger takes aware times only")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return an aware time in UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

tenant = sa.Table(
    "tenant",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("name", sa.String, nullable=False, unique=True),
    sa.Column("fhir_base", sa.String, nullable=False, unique=True),
    sa.Column("hook_issuer", sa.String, nullable=False),  # shared where tenant claims differ
    sa.Column("jwks_url", sa.String),
    sa.Column("jwks", sa.Text),
    sa.Column("jkus", sa.JSON, nullable=False),
    sa.Column("algorithms", sa.JSON, nullable=False),
    sa.Column("audiences", sa.JSON, nullable=False),
    sa.Column("tenant_claims", sa.JSON, nullable=False),
    sa.Column("subject", sa.String),
    sa.Column("discovery_needs_token", sa.Boolean, nullable=False),
    sa.Column("client_id", sa.String),
    sa.Column("client_kind", sa.String, nullable=False),
    sa.Column("client_secret", sa.LargeBinary),  # sealed
    sa.Column("archive_base", sa.String),
    sa.Column("origins", sa.JSON, nullable=False),
    sa.Column("vendor", sa.String, nullable=False),
    sa.Column("dialect", sa.String, nullable=False),
    sa.Column("backend_services", sa.Boolean, nullable=False),
    sa.Column("shows_running", sa.Boolean, nullable=False),
    sa.Column("shows_negative", sa.Boolean, nullable=False),
    sa.Column("shows_mismatch", sa.Boolean, nullable=False),
    sa.Column("app_users", sa.JSON, nullable=False),
    sa.Column("reviewers", sa.JSON, nullable=False),
    sa.Column("language", sa.String),
    sa.Column("shows_drafts", sa.Boolean, nullable=False),
    sa.Column("critical_limit_min", sa.Integer, nullable=False),
    sa.Column("doors", sa.JSON, nullable=False),
    sa.Column("change_feed", sa.String),
    sa.Column("binding", sa.String, nullable=False),
    sa.Column("other_archives", sa.JSON, nullable=False),
    sa.Column("images", sa.String, nullable=False),
    sa.Column("archive_credentials", sa.JSON, nullable=False),  # their secrets sealed
)

# How far an intake door has read: one that is opened again goes on where it was closed. Neither
# table has a foreign key: SQLite would empty them whenever a revision rebuilds the tenant table.
intake_cursor = sa.Table(
    "intake_cursor",
    metadata,
    sa.Column("tenant_id", sa.String, primary_key=True),
    sa.Column("door", sa.String, primary_key=True),
    sa.Column("position", sa.JSON, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
)

intake_bell = sa.Table(
    "intake_bell",
    metadata,
    sa.Column("tenant_id", sa.String, primary_key=True),
    # SHA-256 of what only the EHR knows: the last part of the path, and a header.
    sa.Column("path_digest", sa.String(64), nullable=False, unique=True),
    sa.Column("header_digest", sa.String(64), nullable=False),
    sa.Column("subscription_id", sa.String),  # at the EHR; null until it has one
    sa.Column("created_at", UtcTime, nullable=False),
)

result = sa.Table(
    "result",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("key", sa.String, nullable=False, unique=True),
    # No foreign key to tenant: results outlive a registration for the retention period.
    sa.Column("tenant_id", sa.String, nullable=False),
    sa.Column("patient_id", sa.String, nullable=False),
    sa.Column("study_uid", sa.String, nullable=False),
    sa.Column("imaging_study_id", sa.String),
    # ISO 8601 text, not a time: the EHR's own offset decides which day a card names.
    sa.Column("study_started", sa.String),
    sa.Column("study_description", sa.String, nullable=False),
    sa.Column("analysis", sa.JSON, nullable=False),
    sa.Column("computed_at", UtcTime, nullable=False),
    sa.Index(None, "tenant_id", "patient_id", "study_uid", "computed_at"),
    sa.Index(None, "study_uid"),  # whose else a study was: moved.py
    sa.Index(None, "tenant_id", "computed_at"),
)

# Whom nobody holds. Joined to nothing, or SQLite would take the index of `state` for these queries
# and read all that is open.
_WAITS = sa.text("state || '' = 'open' AND lease_expires_at IS NULL")

job = sa.Table(
    "job",
    metadata,
    sa.Column("id", sa.String, primary_key=True),
    sa.Column("dispatch_key", sa.String, nullable=False, unique=True),
    sa.Column("tenant_id", sa.String, nullable=False),
    sa.Column("patient_id", sa.String, nullable=False),
    sa.Column("study_uid", sa.String, nullable=False),
    sa.Column("study", sa.JSON, nullable=False),
    sa.Column("model_id", sa.String, nullable=False),
    sa.Column("sealed_patient", sa.LargeBinary),  # null once the job is over
    sa.Column("state", sa.String, nullable=False),
    sa.Column("step", sa.String, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("crashes", sa.Integer, nullable=False),  # leases that ran out
    sa.Column("error", sa.String),
    sa.Column("result_id", sa.ForeignKey("result.id")),
    sa.Column("token", sa.Integer, nullable=False),  # fencing: raised by every lease
    sa.Column("lease_owner", sa.String),
    sa.Column("lease_expires_at", UtcTime),  # null: nobody holds it
    sa.Column("rung_at", UtcTime),  # of a ring that no worker has answered yet
    sa.Column("swept_by", sa.String),  # marks the rows of one sweep
    sa.Column("priority", sa.Integer, nullable=False),  # domain/line.py: 0 comes first
    sa.Column("due_at", UtcTime, nullable=False),  # from then on it counts as critical
    sa.Column("created_at", UtcTime, nullable=False),
    sa.Column("started_at", UtcTime),
    sa.Column("updated_at", UtcTime, nullable=False),
    sa.Index(None, "tenant_id", "patient_id", "study_uid", "created_at"),
    sa.Index(None, "study_uid"),
    sa.Index(None, "tenant_id", "created_at"),
    sa.Index(None, "tenant_id", "started_at"),
    sa.Index(None, "state", "created_at"),
    sa.Index(None, "swept_by"),
    sa.Index(
        "ix_job_line",
        *("tenant_id", "priority", "due_at", "id", "rung_at", "state", "lease_expires_at"),
        sqlite_where=_WAITS,
        postgresql_where=_WAITS,
    ),
)

publication = sa.Table(
    "publication",
    metadata,
    sa.Column("result_id", sa.ForeignKey("result.id"), primary_key=True),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("references", sa.JSON, nullable=False),
    sa.Column("lost", sa.JSON, nullable=False),
    sa.Column("recorded_at", UtcTime, nullable=False),
)

review = sa.Table(
    "review",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("tenant_id", sa.String, nullable=False),
    sa.Column("result_id", sa.ForeignKey("result.id"), nullable=False),
    sa.Column("finding_code", sa.String, nullable=False),
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("reviewer", sa.String, nullable=False),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("reason", sa.String),
    sa.Column("region", sa.JSON(none_as_null=True)),
    sa.Column("sealed_comment", sa.LargeBinary),  # may hold patient data
    sa.Index(None, "result_id", "reviewer"),
    sa.Index(None, "tenant_id", "finding_code", "at"),
)

review_write = sa.Table(
    "review_write",
    metadata,
    sa.Column("result_id", sa.ForeignKey("result.id"), primary_key=True),
    sa.Column("changes", sa.Integer, nullable=False),  # reviews that asked to be written, so far
    sa.Column("state", sa.String, nullable=False),
    sa.Column("references", sa.JSON, nullable=False),
    sa.Column("lost", sa.JSON, nullable=False),
    sa.Column("error", sa.String),
    sa.Column("token", sa.Integer, nullable=False),  # fencing: raised by every lease
    sa.Column("lease_expires_at", UtcTime),  # null: nobody holds it
    sa.Column("ring_at", UtcTime, nullable=False),  # when the sweep rings, if it waits then
    sa.Column("waiting_since", UtcTime, nullable=False),
    sa.Column("updated_at", UtcTime, nullable=False),
    sa.Index(None, "state", "ring_at"),
)

card_shown = sa.Table(
    "card_shown",
    metadata,
    sa.Column("tenant_id", sa.String, primary_key=True),
    sa.Column("card_uuid", sa.String, primary_key=True),
    sa.Column("result_id", sa.ForeignKey("result.id")),
    sa.Column("shown_at", UtcTime, nullable=False),
    # Null in rows of the first revision.
    sa.Column("service_id", sa.String),
    sa.Column("hook", sa.String),
    sa.Column("finding_code", sa.String),
    sa.Column("reader", sa.String),  # keyed hash of the user, never the user
    sa.Index(None, "result_id"),
)

alert_policy = sa.Table(
    "alert_policy",
    metadata,
    sa.Column("tenant_id", sa.String, primary_key=True),
    sa.Column("finding_code", sa.String, primary_key=True),  # "": every other finding
    sa.Column("minimum_indicator", sa.String, nullable=False),
    sa.Column("quiet_after_override", sa.Boolean, nullable=False),
    sa.Column("quiet_when_acknowledged", sa.Boolean, nullable=False),
    sa.Column("budget_per_100_charts", sa.Integer),  # null: no limit
    sa.Column("order_check_days", sa.Integer, nullable=False),
)

# Of the hundred charts that are being counted; `held_back_ever` goes on.
alert_count = sa.Table(
    "alert_count",
    metadata,
    sa.Column("tenant_id", sa.String, primary_key=True),
    sa.Column("finding_code", sa.String, primary_key=True),
    sa.Column("charts", sa.Integer, nullable=False),
    sa.Column("shown", sa.Integer, nullable=False),
    sa.Column("held_back", sa.Integer, nullable=False),
    sa.Column("held_back_ever", sa.Integer, nullable=False),
)

feedback = sa.Table(
    "feedback",
    metadata,
    sa.Column("tenant_id", sa.String, primary_key=True),
    sa.Column("card_uuid", sa.String, primary_key=True),
    sa.Column("outcome", sa.String, primary_key=True),
    sa.Column("outcome_at", UtcTime, primary_key=True),
    sa.Column("reason", sa.JSON(none_as_null=True)),
    sa.Column("has_comment", sa.Boolean, nullable=False),
    sa.Column("suggestion_ids", sa.JSON, nullable=False),
    sa.ForeignKeyConstraint(
        ["tenant_id", "card_uuid"], ["card_shown.tenant_id", "card_shown.card_uuid"]
    ),
)

# Unbound (no patient) nobody reads it. A row lives as long as its files do.
inbox_study = sa.Table(
    "inbox_study",
    metadata,
    sa.Column("tenant_id", sa.String, primary_key=True),
    sa.Column("study_uid", sa.String, primary_key=True),
    sa.Column("sealed_accession", sa.LargeBinary),
    sa.Column("patient_id", sa.String),
    sa.Column("first_at", UtcTime, nullable=False),
    sa.Column("last_at", UtcTime, nullable=False),
    sa.Column("asked_at", UtcTime),  # when the EHR last did not know whose it is
)

inbox_instance = sa.Table(
    "inbox_instance",
    metadata,
    sa.Column("tenant_id", sa.String, primary_key=True),
    sa.Column("sop_uid", sa.String, primary_key=True),
    sa.Column("study_uid", sa.String, nullable=False),
    sa.Column("digest", sa.String(64), nullable=False),  # SHA-256; also the name of the file
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("arrived_at", UtcTime, nullable=False),
    sa.Index(None, "tenant_id", "study_uid"),
)

push_credential = sa.Table(
    "push_credential",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),  # SHA-256
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("tenant_id", sa.String, nullable=False),
    sa.Column("created_at", UtcTime, nullable=False),
)

used_jti = sa.Table(
    "used_jti",
    metadata,
    # SHA-256 of issuer and jti: fixed size, whatever a client sends.
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("expires_at", UtcTime, nullable=False),
    sa.Index(None, "expires_at"),
)

# Append-only: no code updates or deletes, and triggers of the first revision refuse both.
audit_event = sa.Table(
    "audit_event",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("at", UtcTime, nullable=False),
    sa.Column("action", sa.String, nullable=False),
    sa.Column("tenant_id", sa.String),
    sa.Column("agent", sa.String, nullable=False),
    sa.Column("outcome", sa.String, nullable=False),
    sa.Column("patient_id", sa.String),
    sa.Column("study_uid", sa.String),
    sa.Column("detail", sa.String, nullable=False),
    sa.Index(None, "tenant_id", "patient_id", "at"),
    sa.Index(None, "action", "at"),
)
