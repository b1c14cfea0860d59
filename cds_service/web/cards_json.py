"""Cards and services as JSON, by the letter: no null, no empty text, array or object.

What the client's dialect cannot take is left out or written in its form; the rules are those of
`domain/dialect.py`.

Source: CDS Hooks 2.0 "Response", ch2:3 (the only empty arrays allowed are `cards` and
`services`), ch2:80-147.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from cds_service.domain.card import Action, Card, Link, Suggestion
from cds_service.domain.dialect import DIALECTS, EPIC_CONTENT_TYPE, Dialect, DialectName
from cds_service.domain.dialect import hook_version as version_of
from cds_service.domain.finding import Coding

CONTEXT_PARAMETER = "ctx"  # of the app's launch address, where appContext is not understood
STRICT = DIALECTS[DialectName.STRICT_2_0]

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CardsJson:
    """Writes cards for one EHR."""

    dialect: Dialect
    seal: Callable[[str], str]  # an appContext to a text that stands in a URL and says nothing

    def response(self, cards: Iterable[Card]) -> Json:
        """Return the body of a hook's answer; `cards` is there even when there is none."""
        return {"cards": [self.card(card) for card in cards]}

    def card(self, card: Card) -> Json:
        """Return one card."""
        dialect = self.dialect
        suggestions, behavior = dialect.suggestions(card)
        topic = dialect.topic_of(card)
        return present(
            uuid=card.uuid if dialect.has_uuids else None,
            summary=card.summary,
            detail=dialect.detail_of(card),
            indicator=card.indicator.value,
            source=present(
                label=card.source.label,
                url=card.source.url,
                topic=_coding(topic) if topic else None,
            ),
            suggestions=[self._suggestion(one) for one in suggestions],
            selectionBehavior=behavior and behavior.value,
            overrideReasons=[_coding(reason) for reason in card.override_reasons]
            if dialect.has_override_reasons
            else None,
            links=[self._link(link) for link in card.links],
            extension=self._extension(card),
        )

    def _suggestion(self, suggestion: Suggestion) -> Json:
        is_marked = suggestion.is_recommended and self.dialect.has_recommendations
        return present(
            label=suggestion.label,
            uuid=suggestion.uuid if self.dialect.has_uuids else None,
            isRecommended=is_marked or None,
            actions=[self._action(action) for action in suggestion.actions],
        )

    def _action(self, action: Action) -> Json:
        by_name = self.dialect.deletes_by_resource_id
        return present(
            type=action.type.value,
            description=action.description,
            resource=action.resource if by_name else action.resource or action.resource_id,
            resourceId=action.resource_id if by_name else None,
        )

    def _link(self, link: Link) -> Json:
        if self.dialect.has_app_context:
            return present(
                label=link.label, url=link.url, type="smart", appContext=link.app_context
            )
        url = f"{link.url}?{CONTEXT_PARAMETER}={self.seal(link.app_context)}"
        return present(label=link.label, url=url, type="smart")

    def _extension(self, card: Card) -> Json:
        content_type = self.dialect.detail_content_type
        if content_type is None or not card.detail_markdown:
            return dict(card.extension)
        return {**card.extension, EPIC_CONTENT_TYPE: content_type}


def service_json(
    *,
    service_id: str,
    hook: str,
    title: str,
    description: str,
    prefetch: Mapping[str, str],
    dialect: Dialect = STRICT,
) -> Json:
    """Return one service of the discovery document."""
    spec_version = dialect.spec_version
    return present(
        id=service_id,
        hook=hook,
        hookVersion=version_of(hook) if spec_version else None,
        title=title,
        description=description,
        version=spec_version,
        prefetch=dict(prefetch),
    )


def present(**fields: object) -> Json:
    """Keep the fields that have something to say."""
    return {name: value for name, value in fields.items() if value not in (None, "", [], {})}


def _coding(coding: Coding) -> Json:
    return present(system=coding.system, code=coding.code, display=coding.display)
