"""Dialects: what each kind of CDS client leaves out, renames or takes in another form.

The table at the end is the one place for it; `docs/reference/dialects.md` shows the same table and
a test compares the two.

Source: CDS Hooks 1.0, 2.0 and the 3.0 ballot build; Epic's CDS Hooks tutorial (2024); Oracle
Health's draft page of 2021. Vendor facts age: ask the vendor and the site before go-live.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType

from cds_service.domain.card import Action, ActionType, Card, SelectionBehavior, Suggestion
from cds_service.domain.finding import Coding

TOPIC_SYSTEM = "urn:sightline:card-topic"
TOPIC_LIMIT = 100  # characters, Epic
EPIC_CONTENT_TYPE = "com.epic.cdshooks.card.detail.content-type"
# Epic files these and no others; order details come from its preference lists.
EPIC_ACTIONS = frozenset(
    {
        (ActionType.CREATE, "Condition"),
        (ActionType.CREATE, "MedicationRequest"),
        (ActionType.DELETE, "MedicationRequest"),
        (ActionType.CREATE, "ServiceRequest"),
        (ActionType.DELETE, "ServiceRequest"),
    }
)
# Published versions of the hooks; a client that reads hookVersion compares it (3.0 ballot).
HOOK_VERSIONS = MappingProxyType({"order-dispatch": "1.1"})
HOOK_VERSION = "1.0"  # of every other hook that we answer


class DialectName(StrEnum):
    """The dialects by the name that `sightline ehr add --dialect` takes."""

    STRICT_2_0 = "strict-2.0"
    V1_0 = "1.0"
    BALLOT_3_0 = "3.0-ballot"
    EPIC = "epic"
    ORACLE = "oracle"


class TopicForm(StrEnum):
    """How `source.topic` is written."""

    CODING = "coding"
    OMITTED = "omitted"
    PER_KIND = "per kind"  # alphanumeric, another one for each indicator


@dataclass(frozen=True, slots=True)
class Dialect:
    """What one kind of client understands; the defaults are CDS Hooks 2.0 by the letter."""

    spec_version: str | None = None  # `version` and `hookVersion` in discovery; None: not sent
    hooks: frozenset[str] | None = None  # offered in discovery; None: all
    has_uuids: bool = True  # of cards and suggestions; without them no feedback comes
    has_override_reasons: bool = True
    has_recommendations: bool = True  # suggestion.isRecommended
    topic: TopicForm = TopicForm.CODING
    behaviors: frozenset[SelectionBehavior] = frozenset(SelectionBehavior)
    has_single_actions: bool = False  # a suggestion has exactly one action
    actions: frozenset[tuple[ActionType, str]] | None = None  # by resource type; None: all
    deletes_by_resource_id: bool = True  # False: the id stands in `resource` (1.0)
    has_app_context: bool = True  # False: a sealed `ctx` in the link's URL
    detail_content_type: str | None = None  # named in an extension of the card
    paragraphs_left_out: frozenset[str] = frozenset()  # of the detail, by their bold label

    def offers(self, hook: str) -> bool:
        """Tell whether discovery lists this hook."""
        return self.hooks is None or hook in self.hooks

    def suggestions(self, card: Card) -> tuple[tuple[Suggestion, ...], SelectionBehavior | None]:
        """Return the suggestions that this client can apply as they are meant, and the behavior.

        A suggestion is never split or cut: all of its actions belong together (ch2:125). Where
        "at most one" cannot be said, one suggestion is left, the recommended one if there is.
        """
        kept = tuple(one for one in card.suggestions if self._takes(one))
        wanted = card.selection_behavior
        if not kept or wanted is None:
            return (), None
        if wanted in self.behaviors:
            return kept, wanted
        if wanted is SelectionBehavior.AT_MOST_ONE:
            chosen = next((one for one in kept if one.is_recommended), kept[0])
            return (chosen,), SelectionBehavior.ANY
        return kept, SelectionBehavior.AT_MOST_ONE

    def topic_of(self, card: Card) -> Coding | None:
        """Return the card's topic in this dialect.

        Epic remembers an override by the topic's code, so a card that says "running" must not
        share it with one that warns: the indicator is part of the code.
        """
        topic = card.source.topic
        if topic is None or self.topic is TopicForm.OMITTED:
            return None
        if self.topic is TopicForm.CODING:
            return topic
        kind = card.indicator.value
        code = re.sub(r"[^A-Za-z0-9]", "", topic.code)[: TOPIC_LIMIT - len(kind)]
        return Coding(TOPIC_SYSTEM, f"{code}{kind}", topic.display)

    def detail_of(self, card: Card) -> str:
        """Return the detail, where room is short without the paragraphs that the app shows too."""
        left_out = tuple(f"**{label}:**" for label in self.paragraphs_left_out)
        paragraphs = card.detail_markdown.split("\n\n")
        return "\n\n".join(one for one in paragraphs if not one.startswith(left_out))

    def _takes(self, suggestion: Suggestion) -> bool:
        if self.has_single_actions and len(suggestion.actions) != 1:
            return False
        return self.actions is None or all(
            (action.type, _resource_type(action)) in self.actions for action in suggestion.actions
        )


def hook_version(hook: str) -> str:
    """Return the published version of a hook."""
    return HOOK_VERSIONS.get(hook, HOOK_VERSION)


def _resource_type(action: Action) -> str:
    if action.resource is not None:
        return str(action.resource.get("resourceType", ""))
    return (action.resource_id or "").partition("/")[0]


_STRICT = Dialect()
_V1 = Dialect(
    has_uuids=False,
    has_override_reasons=False,
    has_recommendations=False,
    topic=TopicForm.OMITTED,
    behaviors=frozenset({SelectionBehavior.AT_MOST_ONE}),
    deletes_by_resource_id=False,
)

DIALECTS: Mapping[DialectName, Dialect] = MappingProxyType(
    {
        DialectName.STRICT_2_0: _STRICT,
        DialectName.V1_0: _V1,
        DialectName.BALLOT_3_0: replace(_STRICT, spec_version="3.0.0"),
        DialectName.EPIC: replace(
            _STRICT,
            hooks=frozenset({"patient-view", "order-select", "order-sign"}),
            topic=TopicForm.PER_KIND,
            behaviors=frozenset({SelectionBehavior.ANY}),
            has_single_actions=True,
            actions=EPIC_ACTIONS,
            detail_content_type="text/markdown; variant=GitHub",
        ),
        DialectName.ORACLE: replace(
            _V1,
            hooks=frozenset({"patient-view"}),
            has_app_context=False,
            paragraphs_left_out=frozenset({"Looks for", "Does not look for"}),
        ),
    }
)
