"""What the model card tells a reader of a result, and how well the model did where it was measured.

Source: HL7 AI Transparency on FHIR (model card); architecture "Thresholds live in the model card".
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from cds_service.domain.finding import ModelIdentity
from cds_service.domain.model_sheet import ModelSheet


@dataclass(frozen=True, slots=True)
class Share:
    """A share, 0..1, with the 95 % interval of its measurement."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Measured:
    """How the model decided at its threshold, on the images that it was measured on."""

    sensitivity: Share  # of the images with the finding, those above the threshold
    specificity: Share  # of the images without it, those not above
    images: int
    with_finding: int
    is_external: bool  # whether other hospitals' images were among them


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model version in words."""

    looks_for: str  # "signs of pneumonia"
    intended_use: str  # "frontal chest X-rays of children aged 1-5"
    does_not_look_for: tuple[str, ...]
    limits: tuple[str, ...]
    measured: Measured | None = None  # None: its card has no figures


def release_day(sheet_of: Callable[[str], ModelSheet | None], model: ModelIdentity) -> date | None:
    """Return the day on which this very version was released, where its card says so."""
    sheet = sheet_of(model.id)
    if sheet is None or sheet.identity.digest != model.digest:
        return None
    try:
        return date.fromisoformat(sheet.facts.get("released", ""))
    except ValueError:
        return None
