"""What a card offers to do, and that what it would create is valid FHIR R4."""

from typing import Any
from uuid import UUID

import pytest
from fhir.resources.R4B import get_fhir_model_class

from cds_service.domain.card import (
    Action,
    ActionType,
    Card,
    Indicator,
    SelectionBehavior,
    Source,
    Suggestion,
)
from cds_service.domain.order import ImagingOrder
from cds_service.usecases.suggest_actions import suggest_about_orders, suggest_follow_up
from tests.builders import a_finding, a_result, a_study, an_analysis
from tests.unit.cards.builders import a_call, a_writer


def follow_up(*, critical: bool = False, study_id: str | None = "s-1", **changes: Any) -> Card:
    analysis = an_analysis(findings=(a_finding(critical=critical),))
    result = a_result(analysis=analysis, imaging_study_id=study_id)
    call = a_call(**({"context": {"encounterId": "e-1"}} | changes))
    return suggest_follow_up(a_writer().of_result(call, result, a_study()), result, call)


def resources_of(card: Card) -> list[dict[str, Any]]:
    actions = [action for one in card.suggestions for action in one.actions]
    return [dict(action.resource) for action in actions if action.resource is not None]


def test_ch2_93_a_positive_finding_may_be_sent_to_radiology_or_noted_as_seen() -> None:
    card = follow_up()

    assert card.selection_behavior is SelectionBehavior.ANY
    assert [one.label for one in card.suggestions] == [
        "Ask radiology to review this study",
        "I have seen this finding",
    ]
    assert all(len(one.actions) == 1 for one in card.suggestions)
    assert not any(one.is_recommended for one in card.suggestions)


def test_ch2_118_suggestions_have_uuids_that_come_back_the_same() -> None:
    first, again = follow_up().suggestions, follow_up().suggestions
    other = follow_up(user_id="Practitioner/2").suggestions

    assert [UUID(one.uuid).version for one in first] == [5, 5]
    assert [one.uuid for one in first] == [one.uuid for one in again]
    assert len({one.uuid for one in (*first, *other)}) == 4


@pytest.mark.parametrize("study_id", ["s-1", None])
@pytest.mark.parametrize("user", ["Practitioner/1", "Patient/1", None])
def test_ch2_131_what_would_be_created_is_a_whole_resource(
    study_id: str | None, user: str | None
) -> None:
    request, task = resources_of(follow_up(study_id=study_id, user_id=user))

    for resource in (request, task):
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    assert request["subject"] == task["for"] == {"reference": "Patient/p-1"}
    assert request["encounter"] == task["encounter"] == {"reference": "Encounter/e-1"}
    is_clinician = user == "Practitioner/1"
    assert ("requester" in request, "owner" in task) == (is_clinician, is_clinician)
    assert ("focus" in task) == (study_id is not None)


def test_a_request_is_a_draft_for_a_second_read_and_no_second_exposure() -> None:
    request, _ = resources_of(follow_up())

    assert request["status"] == "draft" and request["intent"] == "proposal"
    assert request["code"]["text"] == "Radiology review of an AI finding"
    assert "reasonReference" not in request and "coding" not in request["reasonCode"][0]


def test_a_critical_finding_is_asked_about_urgently() -> None:
    assert resources_of(follow_up())[0]["priority"] == "routine"
    assert resources_of(follow_up(critical=True))[0]["priority"] == "urgent"


def test_an_encounter_that_is_no_id_is_left_out() -> None:
    request, _ = resources_of(follow_up(context={"encounterId": "../Patient/1"}))

    assert "encounter" not in request


def of_orders(count: int) -> Card:
    orders = [ImagingOrder(f"ServiceRequest/{n}", "chest", "X-ray") for n in range(count)]
    card = a_writer().of_order(a_call(), a_result(), a_study())
    return suggest_about_orders(card, orders)


def test_ch2_134_one_draft_is_removed_by_its_name_or_kept() -> None:
    card = of_orders(1)

    remove, keep = card.suggestions
    assert card.selection_behavior is SelectionBehavior.AT_MOST_ONE
    assert remove.actions[0].type is ActionType.DELETE
    assert remove.actions[0].resource_id == "ServiceRequest/0"
    assert remove.label == "Remove the draft order (X-ray, chest)" and keep.actions == ()


def test_several_drafts_are_removed_one_by_one() -> None:
    card = of_orders(2)

    assert card.selection_behavior is SelectionBehavior.ANY
    assert [one.actions[0].resource_id for one in card.suggestions] == [
        "ServiceRequest/0",
        "ServiceRequest/1",
    ]


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        (ActionType.DELETE, {"resource": {"resourceType": "Task"}}),
        (ActionType.DELETE, {}),
        (ActionType.CREATE, {"resource_id": "Task/1"}),
        (ActionType.UPDATE, {"resource": {}, "resource_id": "Task/1"}),
    ],
)
def test_ch2_133_an_action_with_the_wrong_parts_cannot_be_made(
    kind: ActionType, parts: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="wrong parts"):
        Action(kind, "x", **parts)


def test_ch2_93_a_card_with_suggestions_says_how_many_may_be_chosen() -> None:
    with pytest.raises(ValueError, match="selection behavior"):
        Card("c", "s", Indicator.INFO, Source("s"), suggestions=(Suggestion("u", "l"),))


def test_ch2_83_a_card_with_a_summary_of_140_characters_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="summary of 140 characters"):
        Card("c", "s" * 140, Indicator.INFO, Source("s"))
