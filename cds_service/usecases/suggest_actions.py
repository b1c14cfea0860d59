"""What a card offers to do: ask for radiology's read, note having seen it, drop a draft order.

Nothing is recommended beforehand: which of them is right is the clinician's judgement. Every
suggestion has one action at the most, because Epic takes one.

Source: CDS Hooks 2.0 "Suggestion", "Action" (ch2:92-97, 117-135).
"""

from collections.abc import Sequence
from dataclasses import replace
from uuid import uuid5

from cds_service.domain.card import (
    Action,
    ActionType,
    Card,
    Indicator,
    SelectionBehavior,
    Suggestion,
)
from cds_service.domain.finding import SIGHTLINE_NAMESPACE, Result
from cds_service.domain.hook import HookCall
from cds_service.domain.order import ImagingOrder
from cds_service.fhir.suggested_resources import acknowledgement, radiology_review


def suggest_follow_up(card: Card, result: Result, call: HookCall) -> Card:
    """Offer to ask radiology about a finding, and to note that it was seen."""
    urgent = card.indicator is Indicator.CRITICAL
    user, encounter, what = call.user_id, call.encounter_id, card.summary
    ask = radiology_review(result, what, user=user, encounter=encounter, is_urgent=urgent)
    seen = acknowledgement(result, what, user=user, encounter=encounter)
    return _with(
        card,
        SelectionBehavior.ANY,
        _suggestion(
            card,
            "review",
            "Ask radiology to review this study",
            Action(ActionType.CREATE, "Ask radiology to review this study", ask),
        ),
        _suggestion(
            card,
            "seen",
            "I have seen this finding",
            Action(ActionType.CREATE, "Note that the AI finding was seen", seen),
        ),
    )


def suggest_about_orders(card: Card, orders: Sequence[ImagingOrder]) -> Card:
    """Offer to remove each of these draft orders, or to keep it; of several, none means keep."""
    removals = [
        _suggestion(
            card,
            f"remove:{order.reference}",
            f"Remove the draft order ({order.kind or 'imaging'}, {order.region})",
            Action(
                ActionType.DELETE,
                f"Remove the draft order ({order.kind or 'imaging'}, {order.region})",
                resource_id=order.reference,
            ),
        )
        for order in orders
    ]
    if len(removals) > 1:
        return _with(card, SelectionBehavior.ANY, *removals)
    keep = _suggestion(card, "keep", "Keep the order")
    return _with(card, SelectionBehavior.AT_MOST_ONE, *removals, keep)


def _suggestion(card: Card, name: str, label: str, *actions: Action) -> Suggestion:
    return Suggestion(str(uuid5(SIGHTLINE_NAMESPACE, f"{card.uuid}|{name}")), label, actions)


def _with(card: Card, behavior: SelectionBehavior, *suggestions: Suggestion) -> Card:
    return replace(card, suggestions=suggestions, selection_behavior=behavior)
