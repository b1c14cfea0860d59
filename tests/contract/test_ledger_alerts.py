"""Alert settings, counts and reactions: the fake, SQLite and PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import SqlAlerts
from cds_service.domain.alert import AlertCount, AlertPolicies, AlertPolicy, ReactionKind
from cds_service.domain.card import Feedback, Indicator, Outcome, ShownCard
from cds_service.domain.review import Review, Verdict
from tests.builders import NOW, PNEUMONIA, a_patient, a_result, a_study
from tests.contract.ledgers import Ledger

STRICT = AlertPolicy(
    minimum_indicator=Indicator.WARNING,
    quiet_after_override=False,
    quiet_when_acknowledged=False,
    budget_per_100_charts=5,
    order_check_days=0,
)
CODE = PNEUMONIA.code


def store(ledger: Ledger, result_id: str = "r-1") -> None:
    """Put a result into the ledger, as a worker leaves it."""
    uid = f"1.2.3.{len(result_id)}{result_id[-1]}"
    job, _ = ledger.jobs.open(result_id, a_study(study_uid=uid), a_patient(), "model")
    lease = ledger.jobs.take(job.id, "worker")
    assert lease is not None
    ledger.results.save(a_result(id=result_id, key=f"key {result_id}", study_uid=uid), lease)


def test_a_site_that_set_nothing_has_the_defaults(ledger: Ledger) -> None:
    assert ledger.alerts.policies("t-1") == AlertPolicies()


def test_a_policy_is_kept_per_site_and_finding_and_can_be_changed(ledger: Ledger) -> None:
    ledger.alerts.set_policy("t-1", "", STRICT)
    ledger.alerts.set_policy("t-1", CODE, STRICT)
    ledger.alerts.set_policy("t-1", CODE, AlertPolicy())

    found = ledger.alerts.policies("t-1")

    assert found.default == STRICT and found.of_finding == {CODE: AlertPolicy()}
    assert ledger.alerts.policies("t-2") == AlertPolicies()


def test_a_budget_is_spent_and_what_it_refuses_is_counted(ledger: Ledger) -> None:
    def spend(wanted: int) -> int:
        return ledger.alerts.spend("t-1", {"": 3}, {"": wanted}, opens_chart=True)[""]

    assert [spend(2), spend(2), spend(1)] == [2, 1, 0]
    assert ledger.alerts.counts("t-1") == {"": AlertCount(3, 3, 2, 2)}
    assert ledger.alerts.counts("t-2") == {}


def test_a_hook_that_opens_no_chart_counts_its_notices_only(ledger: Ledger) -> None:
    ledger.alerts.spend("t-1", {"": 3, CODE: 1}, {CODE: 2}, opens_chart=False)

    assert ledger.alerts.counts("t-1") == {"": AlertCount(), CODE: AlertCount(0, 1, 1, 1)}


def test_two_hooks_at_once_never_get_more_than_the_budget(engine: Engine) -> None:
    alerts = SqlAlerts(engine)

    with ThreadPoolExecutor(4) as pool:
        asked = [
            pool.submit(alerts.spend, "t-1", {"": 5, CODE: 3}, {"": 1, CODE: 1}, opens_chart=True)
            for _ in range(20)
        ]

    granted = [one.result() for one in asked]
    assert sum(one[""] for one in granted) == 5 and sum(one[CODE] for one in granted) == 3
    assert alerts.counts("t-1")[""] == AlertCount(20, 5, 15, 15)


def test_a_review_is_a_reaction_to_its_finding(ledger: Ledger) -> None:
    store(ledger)
    store(ledger, "r-2")
    review = Review("t-1", "r-1", CODE, Verdict.DISAGREE, "Practitioner/1", NOW)
    ledger.reviews.record(review, to_chart=False)

    (reaction,) = ledger.alerts.reactions("t-1", ["r-1", "r-2"])

    assert reaction.kind is ReactionKind.REVIEWED and reaction.at == NOW
    assert (reaction.result_id, reaction.finding_code) == ("r-1", CODE)
    assert ledger.alerts.reactions("t-1", ["r-2"]) == []
    assert ledger.alerts.reactions("t-2", ["r-1"]) == []


def test_a_review_that_was_taken_back_is_told_and_a_comment_is_not(ledger: Ledger) -> None:
    store(ledger)
    taken_back = Review("t-1", "r-1", CODE, Verdict.WITHDRAWN, "Practitioner/1", NOW)
    comment = Review("t-1", "r-1", CODE, Verdict.COMMENT, "Practitioner/1", NOW, comment="Seen")
    for review in (taken_back, comment):
        ledger.reviews.record(review, to_chart=False)

    (reaction,) = ledger.alerts.reactions("t-1", ["r-1"])

    assert (reaction.kind, reaction.reader) == (ReactionKind.WITHDRAWN, "Practitioner/1")


@pytest.mark.parametrize("reader", ["a" * 64, None])
def test_feedback_is_a_reaction_with_the_card_it_was_about(
    ledger: Ledger, reader: str | None
) -> None:
    store(ledger)
    shown = ShownCard("card-1", "r-1", "imaging-ai-findings", "patient-view", CODE, reader)
    ledger.cards.shown("t-1", shown, ShownCard("card-2"))
    for card, outcome in (("card-1", Outcome.OVERRIDDEN), ("card-2", Outcome.ACCEPTED)):
        ledger.cards.record(Feedback("t-1", card, outcome, NOW))

    (reaction,) = ledger.alerts.reactions("t-1", ["r-1"])

    assert reaction.kind is ReactionKind.OVERRIDDEN and reaction.at == NOW
    assert (reaction.card_uuid, reaction.service_id) == ("card-1", "imaging-ai-findings")
    assert (reaction.hook, reaction.reader) == ("patient-view", reader or "")
