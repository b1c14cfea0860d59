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
from cds_service.usecases.card_language import ENGLISH, Words


def suggest_follow_up(card: Card, result: Result, call: HookCall, words: Words = ENGLISH) -> Card:
    """Offer to ask radiology about a finding, and to note that it was seen.

    What goes into the record says of an unreviewed translation that it is one.
    """
    urgent = card.indicator is Indicator.CRITICAL
    user, encounter = call.user_id, call.encounter_id
    what = f"{card.summary} [{words.note}]" if words.note else card.summary
    asking = words.gettext("Ask radiology to review this study")
    ask = radiology_review(result, what, user=user, encounter=encounter, is_urgent=urgent)
    seen = acknowledgement(result, what, user=user, encounter=encounter)
    return _with(
        card,
        SelectionBehavior.ANY,
        _suggestion(
            card,
            "review",
            asking,
            Action(ActionType.CREATE, asking, ask),
        ),
        _suggestion(
            card,
            "seen",
            words.gettext("I have seen this finding"),
            Action(ActionType.CREATE, words.gettext("Note that the AI finding was seen"), seen),
        ),
    )


def suggest_about_orders(
    card: Card, orders: Sequence[ImagingOrder], words: Words = ENGLISH
) -> Card:
    """Offer to remove each of these draft orders, or to keep it; of several, none means keep."""
    removals = [
        _suggestion(
            card,
            f"remove:{order.reference}",
            label,
            Action(ActionType.DELETE, label, resource_id=order.reference),
        )
        for order in orders
        for label in [_removal(order, words)]
    ]
    if len(removals) > 1:
        return _with(card, SelectionBehavior.ANY, *removals)
    keep = _suggestion(card, "keep", words.gettext("Keep the order"))
    return _with(card, SelectionBehavior.AT_MOST_ONE, *removals, keep)


def _removal(order: ImagingOrder, words: Words) -> str:
    return words.gettext(
        "Remove the draft order (%(kind)s, %(region)s)",
        kind=words.gettext(order.kind or "imaging"),
        region=words.gettext(order.region),
    )


def _suggestion(card: Card, name: str, label: str, *actions: Action) -> Suggestion:
    return Suggestion(str(uuid5(SIGHTLINE_NAMESPACE, f"{card.uuid}|{name}")), label, actions)


def _with(card: Card, behavior: SelectionBehavior, *suggestions: Suggestion) -> Card:
    return replace(card, suggestions=suggestions, selection_behavior=behavior)
