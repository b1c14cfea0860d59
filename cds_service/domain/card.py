"""A card: one piece of guidance shown to the clinician, and what became of it.

Source: CDS Hooks 2.0 "Card Attributes" (summary under 140 characters, indicator, source),
"Suggestion", "Action", "Link", "Feedback".
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from cds_service.domain.finding import Coding

SUMMARY_LIMIT = 140  # characters, exclusive; CDS Hooks 2.0 "Card Attributes"


class Indicator(StrEnum):
    """Urgency as the clinician will see it."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """Return how loud it is: 0, 1 or 2."""
        return list(Indicator).index(self)


@dataclass(frozen=True, slots=True)
class Source:
    """Who stands behind a card: the model's name, and where to read about it."""

    label: str
    url: str | None = None
    topic: Coding | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """A link of type `smart` into the app; `app_context` reaches it in the token response."""

    label: str
    url: str
    app_context: str


class ActionType(StrEnum):
    """What an action does to the record."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Action:
    """One change of the record: a whole resource, or for a delete the name of one.

    Source: CDS Hooks 2.0 "Action" (ch2:127-135).
    """

    type: ActionType
    description: str  # plain text; the only text that Epic shows
    resource: Mapping[str, Any] | None = field(default=None, repr=False)  # create, update
    resource_id: str | None = field(default=None, repr=False)  # delete: "Type/id"

    def __post_init__(self) -> None:
        is_delete = self.type is ActionType.DELETE
        if (self.resource_id is not None) != is_delete or (self.resource is None) != is_delete:
            raise ValueError(f"a {self.type.value} action has the wrong parts")


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One thing that the clinician may choose to do; all its actions happen together."""

    uuid: str
    label: str
    actions: tuple[Action, ...] = ()
    is_recommended: bool = False


class SelectionBehavior(StrEnum):
    """How many suggestions of one card may be chosen."""

    AT_MOST_ONE = "at-most-one"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Card:
    """One card, already safe to show: no HTML, no identifiers in the summary."""

    uuid: str
    summary: str
    indicator: Indicator
    source: Source
    detail_markdown: str = ""
    links: tuple[Link, ...] = ()
    override_reasons: tuple[Coding, ...] = ()
    suggestions: tuple[Suggestion, ...] = ()
    selection_behavior: SelectionBehavior | None = None  # set when, and only when, it has any
    extension: Mapping[str, Any] = field(default_factory=dict)  # by reverse-DNS name

    def __post_init__(self) -> None:
        if len(self.summary) >= SUMMARY_LIMIT:
            raise ValueError(f"card {self.uuid}: summary of {len(self.summary)} characters")
        if bool(self.suggestions) != (self.selection_behavior is not None):
            raise ValueError(f"card {self.uuid}: suggestions need a selection behavior")


@dataclass(frozen=True, slots=True)
class ShownCard:
    """What is remembered of a card that was shown, so that feedback on it can be understood."""

    card_uuid: str
    result_id: str | None = None
    service_id: str | None = None
    hook: str | None = None
    finding_code: str | None = None
    reader: str | None = None  # keyed hash of the user; None when the hook named none


class Outcome(StrEnum):
    """What the clinician did with a card."""

    ACCEPTED = "accepted"
    OVERRIDDEN = "overridden"


@dataclass(frozen=True, slots=True)
class Feedback:
    """One report about one card. The same (tenant, card, outcome, timestamp) is one report."""

    tenant_id: str
    card_uuid: str
    outcome: Outcome
    outcome_at: datetime
    reason: Coding | None = None
    has_comment: bool = False  # the comment itself may name a patient and is not kept
    suggestion_ids: tuple[str, ...] = ()
