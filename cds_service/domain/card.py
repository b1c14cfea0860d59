"""A card: one piece of guidance shown to the clinician, and what became of it.

Source: CDS Hooks 2.0 "Card Attributes" (summary under 140 characters, indicator, source),
"Link", "Feedback".
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cds_service.domain.finding import Coding

SUMMARY_LIMIT = 140  # characters, exclusive; CDS Hooks 2.0 "Card Attributes"


class Indicator(StrEnum):
    """Urgency as the clinician will see it."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


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

    def __post_init__(self) -> None:
        if len(self.summary) >= SUMMARY_LIMIT:
            raise ValueError(f"card {self.uuid}: summary of {len(self.summary)} characters")


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
