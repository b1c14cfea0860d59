"""What a model package promises: the model card as values, checked when it is read.

The operating point belongs to one set of weights, so the card names the digest of those weights:
a threshold that outlived its model has broken whole sites before.

Source: HL7 AI Transparency on FHIR (model card); DICOM PS3.3 C.8.11.1 (modality, view position).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, TypeVar

import yaml

__all__ = ["FindingCode", "IntendedUse", "ModelCard", "ModelPackage", "WeightsChanged"]

DAYS_PER_YEAR = 365.25

_Value = TypeVar("_Value")


class WeightsChanged(ValueError):
    """The weights are not the bytes that the card was written for."""


@dataclass(frozen=True, slots=True)
class FindingCode:
    """What the model looks for, as a coded concept."""

    system: str
    code: str
    display: str


@dataclass(frozen=True, slots=True)
class IntendedUse:
    """Which images the model is for, as rules that a program can hold."""

    modalities: frozenset[str]  # DICOM Modality (0008,0060)
    body_parts: frozenset[str]  # DICOM Body Part Examined (0018,0015)
    views: frozenset[str]  # DICOM View Position (0018,5101)
    min_age_days: int  # inclusive
    max_age_days: int  # inclusive: before the birthday after the last year in any calendar
    population: str  # for people: "children aged 1-5"
    projection: str  # for people: "frontal chest X-rays"


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One version of one model: identity, input, output, operating point, intended use."""

    id: str
    version: str
    title: str
    developer: str
    label: str  # the words every page and object repeats
    digest: str  # "sha256:" and 64 hex digits, of model.onnx
    finding: FindingCode
    critical: bool  # whether a finding above its threshold is urgent
    input_size: int  # pixels a side
    calibration_slope: float
    calibration_intercept: float
    threshold: float  # a calibrated probability, 0..1
    abstain_low: float  # from here ...
    abstain_high: float  # ... to here the model does not decide
    scope_threshold: float | None  # a scope score above it: not an image of the model's kind
    intended_use: IntendedUse
    does_not_look_for: tuple[str, ...]
    limits: tuple[str, ...]
    details: dict[str, Any] = field(compare=False, repr=False)  # the whole card, for display

    def __post_init__(self) -> None:
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", self.digest):
            raise ValueError(f"model card {self.id}: the digest is not a SHA-256")
        if not 0 <= self.abstain_low <= self.threshold <= self.abstain_high <= 1:
            raise ValueError(f"model card {self.id}: not 0 <= low <= threshold <= high <= 1")
        if self.calibration_slope <= 0:
            raise ValueError(f"model card {self.id}: the calibration slope is not above 0")
        if self.intended_use.min_age_days > self.intended_use.max_age_days:
            raise ValueError(f"model card {self.id}: the lowest age is above the highest")

    @classmethod
    def from_yaml(cls, text: str) -> ModelCard:
        """Read a card.

        Raises ValueError that names the entry which is missing or of the wrong kind.
        """
        try:
            raw = yaml.safe_load(text)
        except yaml.YAMLError as broken:
            raise ValueError("the model card is not YAML") from broken
        card = _Entries(raw if isinstance(raw, dict) else {})
        return cls(
            id=card.get("id", str),
            version=card.get("version", str),
            title=card.get("title", str),
            developer=card.get("developer", str),
            label=card.get("label", str),
            digest=card.get("weights.digest", str),
            finding=FindingCode(
                system=card.get("output.finding.system", str),
                code=card.get("output.finding.code", str),
                display=card.get("output.finding.display", str),
            ),
            critical=card.get("output.finding.critical", bool),
            input_size=card.get("input.size", int),
            calibration_slope=card.get("operating_point.calibration.slope", float),
            calibration_intercept=card.get("operating_point.calibration.intercept", float),
            threshold=card.get("operating_point.threshold", float),
            abstain_low=card.get("operating_point.abstain.low", float),
            abstain_high=card.get("operating_point.abstain.high", float),
            scope_threshold=card.get("operating_point.scope.threshold", float)
            if "scope" in card.get("operating_point", dict)
            else None,
            intended_use=_intended_use(card),
            does_not_look_for=card.texts("does_not_look_for"),
            limits=card.texts("limits"),
            details=card.entries,
        )


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A model card and the weights it was written for."""

    card: ModelCard
    weights: bytes = field(repr=False)  # an ONNX file


def _intended_use(card: _Entries) -> IntendedUse:
    """Read the rules; ages are whole years in the card, both ends included."""
    first_year = card.get("intended_use.age_years.min", int)
    last_year = card.get("intended_use.age_years.max", int)
    return IntendedUse(
        modalities=frozenset(card.texts("intended_use.modalities")),
        body_parts=frozenset(card.texts("intended_use.body_parts")),
        views=frozenset(card.texts("intended_use.views")),
        min_age_days=int(first_year * DAYS_PER_YEAR),
        max_age_days=int((last_year + 1) * DAYS_PER_YEAR) - 1,
        population=card.get("intended_use.population", str),
        projection=card.get("intended_use.projection", str),
    )


@dataclass(frozen=True, slots=True)
class _Entries:
    """A parsed card, read by dotted paths."""

    entries: dict[str, Any]

    def get(self, path: str, kind: type[_Value]) -> _Value:
        found: Any = self.entries
        for step in path.split("."):
            if not isinstance(found, dict) or step not in found:
                raise ValueError(f"the model card has no {path}")
            found = found[step]
        if kind is float and type(found) is int:
            found = float(found)
        if type(found) is not kind or found == "":
            raise ValueError(f"the model card's {path} is not a {kind.__name__}")
        return found

    def texts(self, path: str) -> tuple[str, ...]:
        found = self.get(path, list)
        if not found or not all(isinstance(text, str) and text for text in found):
            raise ValueError(f"the model card's {path} is not a list of texts")
        return tuple(found)
