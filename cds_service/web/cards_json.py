"""Cards and services as JSON, by the letter: no null, no empty text, array or object.

Source: CDS Hooks 2.0 "Response", ch2:3 (the only empty arrays allowed are `cards` and
`services`), ch2:80-147.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from cds_service.domain.card import Action, Card, Link, Suggestion
from cds_service.domain.finding import Coding

Json = dict[str, Any]


def response(cards: Iterable[Card]) -> Json:
    """Return the body of a hook's answer; `cards` is there even when there is none."""
    return {"cards": [card_json(card) for card in cards]}


def card_json(card: Card) -> Json:
    """Return one card."""
    return present(
        uuid=card.uuid,
        summary=card.summary,
        detail=card.detail_markdown,
        indicator=card.indicator.value,
        source=present(
            label=card.source.label,
            url=card.source.url,
            topic=_coding(card.source.topic) if card.source.topic else None,
        ),
        suggestions=[_suggestion(one) for one in card.suggestions],
        selectionBehavior=card.selection_behavior and card.selection_behavior.value,
        overrideReasons=[_coding(reason) for reason in card.override_reasons],
        links=[_link(link) for link in card.links],
        extension=dict(card.extension),
    )


def service_json(
    *, service_id: str, hook: str, title: str, description: str, prefetch: Mapping[str, str]
) -> Json:
    """Return one service of the discovery document."""
    return present(
        id=service_id, hook=hook, title=title, description=description, prefetch=dict(prefetch)
    )


def present(**fields: object) -> Json:
    """Keep the fields that have something to say."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def _suggestion(suggestion: Suggestion) -> Json:
    return present(
        label=suggestion.label,
        uuid=suggestion.uuid,
        isRecommended=suggestion.is_recommended or None,
        actions=[_action(action) for action in suggestion.actions],
    )


def _action(action: Action) -> Json:
    return present(
        type=action.type.value,
        description=action.description,
        resource=action.resource,
        resourceId=action.resource_id,
    )


def _link(link: Link) -> Json:
    return present(label=link.label, url=link.url, type="smart", appContext=link.app_context)


def _coding(coding: Coding) -> Json:
    return present(system=coding.system, code=coding.code, display=coding.display)
