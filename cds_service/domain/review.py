"""A review: what a clinician said about one finding after looking at the image.

Source: DESIGN "The card opens Sightline's app ... two buttons: agree, disagree".
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Verdict(StrEnum):
    """Whether the clinician agrees with the finding."""

    AGREE = "agree"
    DISAGREE = "disagree"


@dataclass(frozen=True, slots=True)
class Review:
    """One clinician's verdict; the newest one per finding and clinician counts."""

    tenant_id: str
    result_id: str
    finding_code: str
    verdict: Verdict
    reviewer: str  # fhirUser, "Practitioner/1"
    at: datetime
