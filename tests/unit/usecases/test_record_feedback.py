"""Feedback: what became of a card, stored once, and audited."""

from typing import Any

import pytest

from cds_service.domain.audit import AuditAction
from cds_service.domain.card import Feedback, Outcome, ShownCard
from cds_service.usecases.record_feedback import record_feedback
from tests.builders import NOW
from tests.fakes.ledger import FakeAuditLog, FakeCardLog, FakeClock


def a_report(**changes: Any) -> Feedback:
    values: dict[str, Any] = {
        "tenant_id": "t-1",
        "card_uuid": "card-1",
        "outcome": Outcome.ACCEPTED,
        "outcome_at": NOW,
    }
    return Feedback(**values | changes)


@pytest.fixture
def cards() -> FakeCardLog:
    cards = FakeCardLog()
    cards.shown("t-1", ShownCard("card-1", "r-1"))
    return cards


def test_a_report_is_stored_and_audited_without_the_patient(cards: FakeCardLog) -> None:
    audit = FakeAuditLog()

    stored = record_feedback([a_report()], cards=cards, audit=audit, clock=FakeClock())

    assert stored == 1 and list(cards.reports.values()) == [a_report()]
    (event,) = audit.events
    assert (event.action, event.tenant_id, event.outcome, event.detail, event.at) == (
        AuditAction.FEEDBACK_RECEIVED,
        "t-1",
        "success",
        "accepted",
        NOW,
    )
    assert event.patient_id is None


def test_the_same_report_sent_again_is_one_report(cards: FakeCardLog) -> None:
    for _ in range(2):
        record_feedback([a_report()], cards=cards, audit=FakeAuditLog(), clock=FakeClock())

    assert len(cards.reports) == 1


def test_a_report_about_a_card_that_was_not_shown_is_left_out_and_audited(
    cards: FakeCardLog,
) -> None:
    audit = FakeAuditLog()
    reports = [a_report(card_uuid="card-9"), a_report(tenant_id="t-2"), a_report()]

    stored = record_feedback(reports, cards=cards, audit=audit, clock=FakeClock())

    assert stored == 1 and list(cards.reports.values()) == [a_report()]
    assert [event.outcome for event in audit.events] == ["NotFound", "NotFound", "success"]
