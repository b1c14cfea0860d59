"""Cards, feedback, used JWT ids and the audit log: the fake, SQLite and PostgreSQL."""

from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import SqlAuditLog, SqlCardLog, SqlReplays, schema
from cds_service.adapters.ledger.logs import KEEP_EXPIRED, SWEEP_EVERY
from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.card import Feedback, Outcome, ShownCard
from cds_service.domain.finding import Coding
from tests.builders import NOW
from tests.contract.ledgers import Ledger
from tests.fakes.ledger import FakeClock


def a_report(**changes: object) -> Feedback:
    values: dict[str, object] = {
        "tenant_id": "t-1",
        "card_uuid": "card-1",
        "outcome": Outcome.OVERRIDDEN,
        "outcome_at": NOW,
    }
    return Feedback(**values | changes)  # type: ignore[arg-type]


def an_event(**changes: object) -> AuditEvent:
    values: dict[str, object] = {
        "action": AuditAction.RESULT_VIEWED,
        "at": NOW,
        "tenant_id": "t-1",
        "agent": "Practitioner/1",
        "outcome": "success",
        "patient_id": "p-1",
    }
    return AuditEvent(**values | changes)  # type: ignore[arg-type]


# --- cards and feedback ---


def test_feedback_on_a_shown_card_is_accepted_also_when_sent_twice(ledger: Ledger) -> None:
    ledger.cards.shown("t-1", ShownCard("card-1"))
    ledger.cards.shown("t-1", ShownCard("card-1"))

    assert ledger.cards.record(a_report())
    assert ledger.cards.record(a_report())


def test_feedback_on_a_card_that_was_not_shown_is_not_taken(ledger: Ledger) -> None:
    ledger.cards.shown("t-1", ShownCard("card-1"))

    assert not ledger.cards.record(a_report(card_uuid="card-2"))
    assert not ledger.cards.record(a_report(tenant_id="t-2"))


def test_one_report_is_one_row_and_another_outcome_is_a_second(engine: Engine) -> None:
    cards = SqlCardLog(engine)
    cards.shown("t-1", ShownCard("card-1"))
    reason = Coding("https://sightline.example/reasons", "known", "Known already")
    first = a_report(reason=reason, has_comment=True, suggestion_ids=("s-1",))

    for report in (first, first, a_report(outcome=Outcome.ACCEPTED)):
        cards.record(report)

    with engine.connect() as connection:
        rows = connection.execute(sa.select(schema.feedback)).all()
    assert {row.outcome for row in rows} == {"overridden", "accepted"} and len(rows) == 2
    row = next(row for row in rows if row.outcome == "overridden")
    assert row.reason["code"] == "known" and row.has_comment and row.suggestion_ids == ["s-1"]
    assert row.outcome_at == NOW


# --- JWT ids ---


def test_a_jti_is_used_once_per_issuer(ledger: Ledger) -> None:
    expires_at = NOW + timedelta(minutes=5)

    assert ledger.replays.use_once("https://a.example", "jti-1", expires_at)
    assert not ledger.replays.use_once("https://a.example", "jti-1", expires_at)
    assert ledger.replays.use_once("https://b.example", "jti-1", expires_at)
    assert ledger.replays.use_once("https://a.example", "jti-2", expires_at)


def test_a_jti_that_postgresql_cannot_store_as_text_is_still_used_once(ledger: Ledger) -> None:
    expires_at = NOW + timedelta(minutes=5)

    assert ledger.replays.use_once("https://a.example", "nul\x00" * 10_000, expires_at)
    assert not ledger.replays.use_once("https://a.example", "nul\x00" * 10_000, expires_at)


def test_a_jti_is_forgotten_only_long_after_its_token_expired(engine: Engine) -> None:
    clock = FakeClock()
    replays = SqlReplays(engine, clock=clock)
    replays.use_once("iss", "old", clock.now)

    def use_many(prefix: str) -> None:
        for number in range(SWEEP_EVERY):
            replays.use_once("iss", f"{prefix}-{number}", clock.now + timedelta(hours=1))

    use_many("early")
    assert not replays.use_once("iss", "old", clock.now)
    clock.advance(KEEP_EXPIRED.total_seconds() + 1)
    use_many("late")
    assert replays.use_once("iss", "old", clock.now)


# --- the audit log ---


def test_every_event_is_kept_in_order(engine: Engine) -> None:
    audit = SqlAuditLog(engine)

    audit.record(an_event())
    audit.record(an_event())
    audit.record(an_event(action=AuditAction.EHR_REMOVED, tenant_id=None, detail="by hand"))

    with engine.connect() as connection:
        rows = connection.execute(
            sa.select(schema.audit_event).order_by(schema.audit_event.c.seq)
        ).all()
    assert [row.action for row in rows] == ["result-viewed", "result-viewed", "ehr-removed"]
    assert (rows[2].at, rows[2].tenant_id, rows[2].detail) == (NOW, None, "by hand")


@pytest.mark.parametrize(
    "change", ["UPDATE audit_event SET outcome = 'x'", "DELETE FROM audit_event"]
)
def test_the_database_refuses_to_change_the_audit_log(engine: Engine, change: str) -> None:
    SqlAuditLog(engine).record(an_event())

    with pytest.raises(sa.exc.DBAPIError, match="append-only"), engine.begin() as connection:
        connection.execute(sa.text(change))

    with engine.connect() as connection:
        assert connection.execute(sa.select(schema.audit_event.c.outcome)).scalars().all() == [
            "success"
        ]
