"""What the EHR remembers of its talk with CDS services about each chart: cards, and last words.

Cards are kept because a suggestion is carried out from what the service sent, never from what a
browser says it sent. In memory only.

Source: CDS Hooks 2.0 "Suggestion", "Feedback".
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from cds_service.sandbox.outcomes import Resource

CARDS_PER_CHART = 100


@dataclass(frozen=True, slots=True)
class Exchange:
    """One hook call or feedback report as it went over the wire, and how long it took.

    status   HTTP status, None when nothing was answered in time
    """

    service_id: str
    what: str  # the hook's name, or "feedback"
    url: str
    took_ms: int
    status: int | None
    request: Resource = field(repr=False)
    response: Resource | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ShownCard:
    """A card as it was sent, and the service that sent it."""

    service_id: str
    card: Resource = field(repr=False)


class Conversation:
    """Thread-safe; the newest cards of each chart and the calls of its last event."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._shown: dict[str, OrderedDict[str, ShownCard]] = {}
        self._decided: dict[str, set[tuple[str, str]]] = {}
        self._last: dict[str, tuple[Exchange, ...]] = {}

    def keep(self, patient_id: str, service_id: str, cards: Sequence[Resource]) -> None:
        """Remember cards that the chart shows; one without a uuid cannot be answered."""
        with self._lock:
            shown = self._shown.setdefault(patient_id, OrderedDict())
            for card in cards:
                if uuid := card.get("uuid"):
                    shown[uuid] = ShownCard(service_id, card)
                    shown.move_to_end(uuid)
            while len(shown) > CARDS_PER_CHART:
                shown.popitem(last=False)

    def card(self, patient_id: str, card_uuid: str) -> ShownCard | None:
        """Return a card that this chart showed, or None."""
        with self._lock:
            return self._shown.get(patient_id, OrderedDict()).get(card_uuid)

    def decide(self, patient_id: str, card_uuid: str, order: str) -> None:
        """Remember that the clinician answered a card as far as it is about this order."""
        with self._lock:
            self._decided.setdefault(patient_id, set()).add((card_uuid, order))

    def is_decided(self, patient_id: str, card_uuid: str | None, order: str) -> bool:
        """Tell whether the clinician has answered the card about this order.

        A service may give the card the same uuid again for the next order.
        """
        with self._lock:
            return (card_uuid, order) in self._decided.get(patient_id, set())

    def say(self, patient_id: str, exchanges: Sequence[Exchange]) -> None:
        """Replace what was last said about this chart."""
        with self._lock:
            self._last[patient_id] = tuple(exchanges)

    def last(self, patient_id: str) -> tuple[Exchange, ...]:
        """Return the calls of the chart's last event, in the order of discovery."""
        with self._lock:
            return self._last.get(patient_id, ())
