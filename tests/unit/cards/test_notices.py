"""Which cards are shown: one per study, newer instead of older, and what a site holds back."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cds_service.domain.alert import AlertPolicy
from cds_service.domain.card import Card, Feedback, Indicator, Outcome
from cds_service.domain.finding import Box
from cds_service.domain.hook import Hook
from cds_service.domain.review import Review, Verdict
from cds_service.errors import EhrTimedOut
from cds_service.usecases.answer_hook import answer_hook
from cds_service.usecases.card_extension import HELD_BACK_EXTENSION, RESULT_EXTENSION
from tests.builders import NOW, PNEUMONIA, a_finding, a_tenant, an_analysis, not_analysed
from tests.fakes.ledger import FakeResults
from tests.unit.cards.builders import (
    House,
    MakeHouse,
    a_bundle,
    a_call,
    a_patient_resource,
    a_study_resource,
    know,
    present,
)

POSITIVE = an_analysis()
CRITICAL = an_analysis(findings=(a_finding(critical=True),))
NEGATIVE = an_analysis(findings=(a_finding(present=False, probability=0.1),))
UNCERTAIN = an_analysis(findings=(a_finding(present=None, probability=0.6),))
REFUSED = not_analysed("view", "made for frontal chest X-rays")


def known(house: House, *analyses: Any) -> None:
    """Put results of studies 1, 2, 3... into the ledger, each a day younger than the one before.

    An analysis of None is a study that nobody has asked for yet.
    """
    house.record.resources = [a_patient_resource()]
    for number, analysis in enumerate(analyses, 1):
        house.record.resources.append(a_study_resource(number))
        if analysis is not None:
            started = NOW - timedelta(days=20 - number)
            know(house, number, analysis=analysis, study_started=started)


def ask(house: House, *, shows_negative: bool = False, **changes: Any) -> list[Card]:
    studies = [one for one in house.record.resources if one["resourceType"] == "ImagingStudy"]
    prefetch = {"patient": present(a_patient_resource()), "studies": present(a_bundle(*studies))}
    tenant = a_tenant(shows_negative=shows_negative)
    call = a_call(**({"prefetch": prefetch} | changes))
    return answer_hook(call, tenant, house.desk, budget_s=60)


def summaries(cards: list[Card]) -> str:
    return "\n".join(card.summary for card in cards)


def react(house: House, card: Card, outcome: Outcome = Outcome.OVERRIDDEN) -> None:
    assert house.cards.record(Feedback("t-1", card.uuid, outcome, NOW))


def review(
    house: House,
    result_id: str = "r-1",
    verdict: Verdict = Verdict.AGREE,
    *,
    reviewer: str = "Practitioner/9",
    minutes: int = 0,
) -> None:
    review = Review(
        "t-1",
        result_id,
        PNEUMONIA.code,
        verdict,
        reviewer,
        NOW + timedelta(minutes=minutes),
        region=Box(1, 2, 3, 4) if verdict is Verdict.WRONG_PLACE else None,
        comment="Seen on the ward" if verdict is Verdict.COMMENT else None,
    )
    house.reviews.record(review, to_chart=False)


def set_policy(house: House, finding: str = "", **changes: Any) -> None:
    house.alerts.set_policy("t-1", finding, AlertPolicy(**changes))


# --- newer and older -------------------------------------------------------------------------


def test_a_newer_positive_replaces_an_older_one_and_names_it(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, POSITIVE, POSITIVE)

    (card,) = ask(house)

    assert card.extension[RESULT_EXTENSION]["resultId"] == "r-2"
    assert "**Earlier:** 17 Dec 2025: signs of pneumonia" in card.detail_markdown


def test_a_newer_negative_does_not_hide_a_positive_but_is_named_on_it(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, POSITIVE, NEGATIVE)

    (card,) = ask(house)
    assert "signs of pneumonia (AI score" in card.summary
    assert "**Newer study:** 18 Dec 2025: AI found no signs" in card.detail_markdown

    assert len(ask(house, shows_negative=True)) == 2


@pytest.mark.parametrize("older", [UNCERTAIN, REFUSED, NEGATIVE])
def test_any_newer_answer_replaces_older_information(a_house: MakeHouse, older: Any) -> None:
    house = a_house()
    known(house, older, POSITIVE)

    (card,) = ask(house, shows_negative=True)

    assert card.extension[RESULT_EXTENSION]["resultId"] == "r-2"


def test_a_study_that_is_only_running_replaces_nothing(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, POSITIVE, None)

    assert [card.indicator for card in ask(house)] == ["warning", "info"]


def test_a_critical_finding_is_replaced_only_by_one_that_is_shown(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, CRITICAL, CRITICAL)
    assert len(ask(house)) == 1

    review(house, "r-2")

    (card,) = ask(house)
    assert card.extension[RESULT_EXTENSION]["resultId"] == "r-1"


def test_a_newer_warning_does_not_replace_a_critical_finding(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, CRITICAL, POSITIVE)

    assert [card.indicator for card in ask(house)] == ["critical", "warning"]


def test_what_no_card_is_left_for_is_behind_a_link(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, *(an_analysis(findings=(a_finding(coding=code),)) for code in codes(5)))

    cards = ask(house)

    assert len(cards) == 3
    assert cards[-1].links[-1].label == "And 2 more studies"
    assert "r-" in cards[-1].links[-1].app_context
    assert "And 2 more studies" in cards[-1].detail_markdown


def codes(count: int) -> list[Any]:
    return [replace(PNEUMONIA, code=str(number)) for number in range(count)]


def test_an_urgent_old_finding_is_seen_before_calm_new_ones(a_house: MakeHouse) -> None:
    house = a_house()
    calm = [an_analysis(findings=(a_finding(coding=code, present=None),)) for code in codes(4)]
    known(house, CRITICAL, *calm)

    cards = ask(house)

    assert cards[0].indicator is Indicator.CRITICAL and len(cards) == 3


# --- seen and overridden ---------------------------------------------------------------------


@pytest.mark.parametrize("verdict", [one for one in Verdict if one.is_judgement])
def test_a_reviewed_finding_is_not_repeated_to_anybody(
    a_house: MakeHouse, verdict: Verdict
) -> None:
    house = a_house()
    known(house, CRITICAL)
    review(house, verdict=verdict)

    assert ask(house) == [] == ask(house, user_id="Practitioner/2")


@pytest.mark.parametrize("hook", ["patient-view", "encounter-discharge"])
def test_a_verdict_that_was_taken_back_and_a_comment_acknowledge_nothing(
    a_house: MakeHouse, hook: str
) -> None:
    house = a_house()
    known(house, CRITICAL)
    review(house, verdict=Verdict.COMMENT)
    assert len(ask(house, hook=hook)) == 1
    review(house, minutes=1)
    assert ask(house, hook=hook) == []

    review(house, verdict=Verdict.WITHDRAWN, minutes=2)

    assert len(ask(house, hook=hook)) == 1


def test_who_takes_a_verdict_back_does_not_take_back_a_colleague_s(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, CRITICAL)
    review(house, reviewer="Practitioner/1")
    review(house, reviewer="Practitioner/2", minutes=1)
    review(house, verdict=Verdict.WITHDRAWN, reviewer="Practitioner/2", minutes=2)

    assert ask(house) == []


def test_an_accepted_card_is_an_acknowledgement(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, CRITICAL)
    (card,) = ask(house)

    react(house, card, Outcome.ACCEPTED)

    assert ask(house, user_id="Practitioner/2", hook="order-sign") == []


def test_after_an_override_the_same_reader_has_quiet_until_the_result_changes(
    a_house: MakeHouse,
) -> None:
    house = a_house()
    known(house, POSITIVE)
    (card,) = ask(house)

    react(house, card)
    assert ask(house) == [] == ask(house, hook="order-sign")
    assert len(ask(house, user_id="Practitioner/2")) == 1

    know(house, 2, analysis=POSITIVE, study_started=NOW)
    house.record.resources.append(a_study_resource(2))
    assert len(ask(house)) == 1


def test_an_override_does_not_silence_a_critical_finding(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, CRITICAL)
    (card,) = ask(house)

    react(house, card)

    assert [one.uuid for one in ask(house)] == [card.uuid]


def test_a_site_may_want_to_be_told_again(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, POSITIVE)
    set_policy(house, quiet_after_override=False, quiet_when_acknowledged=False)
    (card,) = ask(house)
    react(house, card)
    review(house)

    assert len(ask(house)) == 1


def test_a_minimum_indicator_is_per_finding(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, POSITIVE)

    set_policy(house, "another", minimum_indicator=Indicator.CRITICAL)
    assert len(ask(house)) == 1

    set_policy(house, PNEUMONIA.code, minimum_indicator=Indicator.CRITICAL)
    assert ask(house) == []


def test_a_site_that_wants_no_information_is_not_told_that_the_record_is_silent(
    a_house: MakeHouse,
) -> None:
    house = a_house()
    house.record.failure = EhrTimedOut("late")
    assert len(ask(house, prefetch={})) == 1

    set_policy(house, minimum_indicator=Indicator.WARNING)

    assert ask(house, prefetch={}) == []


def test_a_result_that_was_erased_is_no_card(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, POSITIVE)
    house.results = FakeResults(house.jobs)

    assert ask(house) == []


# --- budget ----------------------------------------------------------------------------------


def test_what_the_budget_holds_back_is_a_number_on_a_calm_card(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, *(an_analysis(findings=(a_finding(coding=code),)) for code in codes(3)))
    set_policy(house, budget_per_100_charts=1)

    cards = ask(house)

    assert [card.indicator for card in cards] == ["warning", "info"]
    assert cards[1].summary == "2 notices held back by this site's limit"
    assert cards[1].extension[HELD_BACK_EXTENSION] == {"count": 2}
    assert house.alerts.counts("t-1")[""].held_back_ever == 2


def test_a_critical_finding_draws_on_no_budget(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, CRITICAL)
    set_policy(house, budget_per_100_charts=0)

    (card,) = ask(house)

    assert card.indicator is Indicator.CRITICAL
    assert house.alerts.counts("t-1")[""].shown == 0


def test_the_budget_counts_charts_and_not_orders(a_house: MakeHouse) -> None:
    house = a_house()
    known(house)
    set_policy(house, budget_per_100_charts=5)

    for hook in Hook:
        ask(house, hook=hook)

    assert house.alerts.counts("t-1")[""].charts == 1


def test_further_studies_stay_reachable_when_the_budget_is_spent(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, *(an_analysis(findings=(a_finding(coding=code),)) for code in codes(4)))
    set_policy(house, budget_per_100_charts=0)

    (card,) = ask(house)

    assert card.summary == "3 notices held back by this site's limit"
    assert [link.label for link in card.links] == ["And 1 more study"]


# --- discharge -------------------------------------------------------------------------------


def test_at_discharge_an_unreviewed_finding_asks_for_follow_up(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, POSITIVE)

    (card,) = ask(house, hook="encounter-discharge")

    assert card.summary.startswith("Not yet reviewed: Chest X-ray 17 Dec 2025: signs of pneumonia")
    assert "name who will follow it up" in card.detail_markdown


def test_at_discharge_findings_outside_the_study_list_count_too(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, POSITIVE)
    house.record.resources = []

    assert ask(house) == []
    (card,) = ask(house, hook="encounter-discharge")
    assert "Not yet reviewed" in card.summary


def test_at_discharge_a_withdrawn_study_stays_withdrawn(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, POSITIVE)
    house.record.resources = [a_study_resource(1, status="entered-in-error")]

    assert ask(house, hook="encounter-discharge") == []


def test_at_discharge_an_override_elsewhere_does_not_count_as_reviewed(a_house: MakeHouse) -> None:
    house = a_house()
    known(house, POSITIVE)
    (card,) = ask(house)
    react(house, card)

    (again,) = ask(house, hook="encounter-discharge")
    assert again.uuid != card.uuid

    react(house, again)
    assert ask(house, hook="encounter-discharge") == []


def test_at_discharge_a_reviewed_finding_is_plain_again_where_the_site_repeats_it(
    a_house: MakeHouse,
) -> None:
    house = a_house()
    known(house, POSITIVE)
    set_policy(house, quiet_when_acknowledged=False)
    review(house)

    (card,) = ask(house, hook="encounter-discharge")

    assert "Not yet reviewed" not in card.summary
