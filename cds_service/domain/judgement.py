"""A judgement: what a clinician reported about a card, with the finding and the model behind it.

Source: CDS Hooks 2.0 "Feedback".
"""

from dataclasses import dataclass

from cds_service.domain.card import Feedback
from cds_service.domain.finding import ModelIdentity


@dataclass(frozen=True, slots=True)
class Judgement:
    """One report; what the card was about is None for a card without a result ("running")."""

    feedback: Feedback
    result_id: str | None
    finding_code: str | None
    model: ModelIdentity | None
