"""What may be held back, and that nothing but an acknowledgement holds back a critical notice."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.domain.alert import (
    CHARTS,
    AlertCount,
    AlertPolicies,
    AlertPolicy,
    Reaction,
    ReactionKind,
    Standing,
    is_held_back,
    standing,
)
from cds_service.domain.card import Indicator
from cds_service.domain.hook import FINDINGS_SERVICE, ORDER_SERVICE, Hook
from tests.builders import NOW

ME, COLLEAGUE, NOBODY = "reader-1", "reader-2", ""
ACCEPTED, OVERRIDDEN = ReactionKind.ACCEPTED, ReactionKind.OVERRIDDEN
INDICATORS = st.sampled_from(list(Indicator))
POLICIES = st.builds(
    AlertPolicy,
    minimum_indicator=INDICATORS,
    quiet_after_override=st.booleans(),
    quiet_when_acknowledged=st.booleans(),
)
STANDINGS = st.builds(Standing, is_acknowledged=st.booleans(), is_answered=st.booleans())


def a_reaction(kind: ReactionKind = OVERRIDDEN, minutes: int = 0, **changes: Any) -> Reaction:
    values: dict[str, Any] = {
        "kind": kind,
        "result_id": "r-1",
        "finding_code": "f",
        "at": NOW + timedelta(minutes=minutes),
        "card_uuid": "c-1",
        "service_id": FINDINGS_SERVICE,
        "hook": Hook.PATIENT_VIEW,
        "reader": ME,
    }
    return Reaction(**(values | changes))


def a_review(**changes: Any) -> Reaction:
    none = {"card_uuid": "", "service_id": "", "hook": "", "reader": ""}
    return a_reaction(ReactionKind.REVIEWED, **(none | changes))


def stands(*reactions: Reaction, **changes: Any) -> Standing:
    values: dict[str, Any] = {
        "result_id": "r-1",
        "finding_code": "f",
        "service_id": FINDINGS_SERVICE,
        "hook": Hook.ORDER_SIGN,
        "reader": ME,
    }
    return standing(reactions, **(values | changes))


REACTIONS = st.lists(
    st.builds(
        a_reaction,
        st.sampled_from(list(ReactionKind)),
        st.integers(0, 3),
        result_id=st.sampled_from(["r-1", "r-2"]),
        card_uuid=st.sampled_from(["", "c-1", "c-2"]),
        service_id=st.sampled_from([FINDINGS_SERVICE, ORDER_SERVICE]),
        hook=st.sampled_from(list(Hook)),
        reader=st.sampled_from([ME, COLLEAGUE, NOBODY]),
    ),
    max_size=6,
)


# --- critical --------------------------------------------------------------------------------


@given(POLICIES, STANDINGS)
def test_nothing_but_an_acknowledgement_holds_back_a_critical_notice(
    policy: AlertPolicy, stands: Standing
) -> None:
    held = is_held_back(Indicator.CRITICAL, stands, policy)

    assert held == (policy.quiet_when_acknowledged and stands.is_acknowledged)


@given(REACTIONS)
def test_without_a_review_or_an_acceptance_nothing_is_acknowledged(
    reactions: list[Reaction],
) -> None:
    overrides = [one for one in reactions if one.kind is OVERRIDDEN]

    assert not stands(*overrides).is_acknowledged


@given(POLICIES, STANDINGS, INDICATORS, INDICATORS)
def test_a_louder_notice_is_never_held_back_where_a_calmer_one_is_shown(
    policy: AlertPolicy, stands: Standing, one: Indicator, other: Indicator
) -> None:
    calm, loud = sorted((one, other), key=lambda indicator: indicator.rank)

    assert is_held_back(loud, stands, policy) <= is_held_back(calm, stands, policy)


@given(STANDINGS, INDICATORS)
def test_with_everything_off_nothing_is_held_back(stands: Standing, indicator: Indicator) -> None:
    off = AlertPolicy(quiet_after_override=False, quiet_when_acknowledged=False)

    assert not is_held_back(indicator, stands, off)


# --- what counts as seen ---------------------------------------------------------------------


def test_a_review_or_an_acceptance_by_anybody_acknowledges() -> None:
    assert stands(a_review()).is_acknowledged
    assert stands(a_reaction(ACCEPTED, reader=COLLEAGUE)).is_acknowledged


@pytest.mark.parametrize("other", [{"result_id": "r-2"}, {"finding_code": "g"}])
def test_a_changed_result_and_another_finding_speak_again(other: dict[str, str]) -> None:
    assert stands(a_review(), a_reaction(), **other) == Standing()


def test_an_override_silences_its_own_reader_at_every_hook() -> None:
    assert stands(a_reaction()).is_answered
    assert not stands(a_reaction(), reader=COLLEAGUE).is_answered


def test_a_hook_without_a_user_is_silenced_by_nobody() -> None:
    assert not stands(a_reaction(reader=NOBODY), reader=NOBODY).is_answered


def test_the_last_report_about_a_card_counts_and_an_override_wins_a_tie() -> None:
    assert stands(a_reaction(ACCEPTED, 0), a_reaction(OVERRIDDEN, 1)) == Standing(is_answered=True)
    assert stands(a_reaction(OVERRIDDEN, 0), a_reaction(ACCEPTED, 1)).is_acknowledged
    assert not stands(a_reaction(OVERRIDDEN, 0), a_reaction(ACCEPTED, 0)).is_acknowledged


def test_at_discharge_only_an_override_at_discharge_silences() -> None:
    discharge = Hook.ENCOUNTER_DISCHARGE

    assert not stands(a_reaction(), hook=discharge).is_answered
    assert stands(a_reaction(hook=discharge), hook=discharge).is_answered


def test_an_order_check_that_was_answered_by_a_button_is_not_asked_again() -> None:
    kept = a_reaction(ACCEPTED, service_id=ORDER_SERVICE, hook=Hook.ORDER_SELECT)

    assert stands(kept, service_id=ORDER_SERVICE, hook=Hook.ORDER_SIGN).is_answered
    assert not stands(kept, service_id=ORDER_SERVICE, reader=COLLEAGUE).is_answered
    assert not stands(a_reaction(ACCEPTED)).is_answered


def test_the_order_check_is_silenced_by_its_own_answers_alone() -> None:
    of_order = a_reaction(service_id=ORDER_SERVICE)

    assert stands(of_order, service_id=ORDER_SERVICE).is_answered
    assert stands(a_reaction(), a_review(), service_id=ORDER_SERVICE) == Standing()
    assert not stands(a_reaction(ACCEPTED, service_id=ORDER_SERVICE)).is_acknowledged


# --- budget ----------------------------------------------------------------------------------


@given(st.integers(0, 20), st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=250))
def test_no_hundred_charts_get_more_than_the_budget_and_every_refusal_is_counted(
    budget: int, hooks: list[tuple[bool, int]]
) -> None:
    count, wanted_ever, granted_ever = AlertCount(), 0, 0
    for opens_chart, wanted in hooks:
        count = count.opened() if opens_chart else count
        count, granted = count.spend(wanted, budget)
        wanted_ever, granted_ever = wanted_ever + wanted, granted_ever + granted
        assert 0 <= granted <= wanted
        assert count.shown <= budget and count.charts <= CHARTS

    assert count.held_back_ever == wanted_ever - granted_ever >= count.held_back


def test_the_count_begins_anew_after_a_hundred_charts() -> None:
    count = AlertCount(charts=100, shown=5, held_back=2, held_back_ever=9)

    assert count.opened() == AlertCount(charts=1, held_back_ever=9)


def test_a_finding_with_a_policy_of_its_own_has_a_budget_of_its_own() -> None:
    policies = AlertPolicies(
        AlertPolicy(budget_per_100_charts=9), {"f": AlertPolicy(budget_per_100_charts=2)}
    )

    assert policies.budgets() == {"": 9, "f": 2}
    assert [policies.budget_of(code) for code in ("f", "g")] == ["f", ""]
    assert AlertPolicies(AlertPolicy(), {"f": AlertPolicy()}).budgets() == {}


@pytest.mark.parametrize(
    "wrong", [{"budget_per_100_charts": -1}, {"order_check_days": -1}, {"order_check_days": 3651}]
)
def test_a_policy_out_of_range_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"budget|order check"):
        AlertPolicy(**wrong)  # type: ignore[arg-type]
