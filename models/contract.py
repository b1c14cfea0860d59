"""What a model package promises: the model card as values, checked when it is read.

The operating point belongs to one set of weights, so the card names the digest of those weights:
a threshold that outlived its model has broken whole sites before. `card.schema.json` says the
same for tools; a test holds the two together.

Source: HL7 AI Transparency on FHIR (model card); DICOM PS3.3 C.8.11.1 (modality, view position).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from math import isfinite
from typing import Any

from models.card_entries import Entries
from models.card_rules import read_routing
from models.card_yaml import parse_card

__all__ = [
    "MIN_OPSET",
    "FindingCode",
    "FindingOutput",
    "IntendedUse",
    "ModelCard",
    "ModelInput",
    "ModelOutput",
    "ModelPackage",
    "WeightsChanged",
]

DAYS_PER_YEAR = 365.25
OLDEST = 150  # years
MIN_OPSET = 9  # of ONNX
FITS = ("stretch", "crop", "pad")
GREYS = ("robust", "full")
LAYOUTS = ("NCHW", "NHWC")
SCORE_KINDS = ("logit", "probability", "class-logits")


class WeightsChanged(ValueError):
    """The weights are not the bytes that the card was written for."""


@dataclass(frozen=True, slots=True)
class FindingCode:
    """What the model looks for, or where, as a coded concept."""

    system: str
    code: str
    display: str


@dataclass(frozen=True, slots=True)
class FindingOutput:
    """One finding of the model: its code, its place in the scores, and its operating point."""

    coding: FindingCode
    critical: bool  # whether a finding above its threshold is urgent
    column: int  # of the scores, from 0
    calibration_slope: float
    calibration_intercept: float
    threshold: float  # a calibrated probability, 0..1
    abstain_low: float  # from here ...
    abstain_high: float  # ... to here the model does not decide
    body_site: FindingCode | None = None  # where it is looked for; None: the card does not say

    def __post_init__(self) -> None:
        name = self.coding.code
        if not 0 <= self.abstain_low <= self.threshold <= self.abstain_high <= 1:
            raise ValueError(f"finding {name}: not 0 <= low <= threshold <= high <= 1")
        if self.calibration_slope <= 0:
            raise ValueError(f"finding {name}: the calibration slope is not above 0")
        if not (isfinite(self.calibration_slope) and isfinite(self.calibration_intercept)):
            raise ValueError(f"finding {name}: the calibration is not finite")
        if self.column < 0:
            raise ValueError(f"finding {name}: the column is below 0")


@dataclass(frozen=True, slots=True)
class ModelInput:
    """How the model's input is made from one grey image; models/prepare.py does it."""

    name: str  # of the ONNX input
    size: int  # pixels a side
    channels: int = 1  # 3: the same grey image three times
    layout: str = "NCHW"
    fit: str = "stretch"
    grey: str = "robust"
    values: tuple[float, float] | None = None  # of black and white; None: standardised per image
    mean: tuple[float, ...] = ()  # of each channel, subtracted; with `values` only
    std: tuple[float, ...] = ()  # of each channel, divided by after that

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 2048:
            raise ValueError("the model card's input.size is not 16 to 2048")
        if self.channels not in (1, 3):
            raise ValueError("the model card's input.channels is not 1 or 3")
        if self.values is not None and not self.values[0] < self.values[1]:
            raise ValueError("the model card's input.recipe.values does not rise")
        if {len(self.mean), len(self.std)} not in ({0}, {self.channels}):
            raise ValueError("the model card's input.recipe has no mean and std for each channel")
        if any(not number > 0 for number in self.std):
            raise ValueError("the model card's input.recipe.std is not above 0")


@dataclass(frozen=True, slots=True)
class ModelOutput:
    """The tensors that the model gives."""

    scores: str  # name of the ONNX output with one column for each finding
    kind: str  # what is in it: SCORE_KINDS
    activation: str | None  # name of the maps, in the order of the findings; None: it has none
    scope: str | None  # name of the scope score; None: it has none


@dataclass(frozen=True, slots=True)
class IntendedUse:
    """Which images the model is for, as rules that a program can hold."""

    modalities: frozenset[str]  # DICOM Modality (0008,0060)
    body_parts: frozenset[str]  # DICOM Body Part Examined (0018,0015); none: any
    views: frozenset[str]  # DICOM View Position (0018,5101); none: any
    min_age_days: int  # inclusive
    max_age_days: int  # inclusive: before the birthday after the last year in any calendar
    population: str  # for people: "children aged 1-5"
    projection: str  # for people: "frontal chest X-rays"
    frame: int | None = None  # read of an object with several, from 1; None: such are refused

    def __post_init__(self) -> None:
        if self.frame is not None and self.frame < 1:
            raise ValueError("the model card's intended_use.frame is below 1")


@dataclass(frozen=True, slots=True)
class ModelCard:
    """One version of one model: identity, input, outputs, operating points, intended use."""

    id: str
    version: str
    title: str
    developer: str
    label: str  # the words every page and object repeats
    licence: str  # of the weights; "": not stated
    digest: str  # "sha256:" and 64 hex digits, of model.onnx
    opset: int | None  # of model.onnx; None: the card does not say
    input: ModelInput
    output: ModelOutput
    findings: tuple[FindingOutput, ...]  # one at least, each code once
    scope_threshold: float | None  # a scope score above it: not an image of the model's kind
    intended_use: IntendedUse
    does_not_look_for: tuple[str, ...]
    limits: tuple[str, ...]
    routing: dict[str, Any]  # which series it takes, as docs/reference/routing.md has it; {}: all
    details: dict[str, Any] = field(compare=False, repr=False)  # the whole card, for display

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9_]{1,64}", self.id):
            raise ValueError("the model card's id is not small letters, digits and underscores")
        if not re.fullmatch(r"sha256:[0-9a-f]{64}", self.digest):
            raise ValueError(f"model card {self.id}: the digest is not a SHA-256")
        if self.opset is not None and self.opset < MIN_OPSET:
            raise ValueError(f"model card {self.id}: the opset is older than {MIN_OPSET}")
        if self.intended_use.min_age_days > self.intended_use.max_age_days:
            raise ValueError(f"model card {self.id}: the lowest age is above the highest")
        if len({one.coding.code for one in self.findings}) < len(self.findings):
            raise ValueError(f"model card {self.id}: two findings have one code")
        if len({one.column for one in self.findings}) < len(self.findings):
            raise ValueError(f"model card {self.id}: two findings have one column")

    @classmethod
    def from_yaml(cls, text: str) -> ModelCard:
        """Read a card.

        Raises ValueError that names the entry which is missing or of the wrong kind.
        """
        card = Entries(parse_card(text))
        card.refuse_gaps()
        return cls(
            id=card.get("id", str),
            version=card.get("version", str),
            title=card.get("title", str),
            developer=card.get("developer", str),
            label=card.get("label", str),
            licence=card.optional("licence", str, ""),
            digest=card.get("weights.digest", str),
            opset=card.get("weights.opset", int) if card.has("weights.opset") else None,
            input=_input(card),
            output=_output(card),
            findings=_findings(card),
            scope_threshold=card.get("operating_point.scope.threshold", float)
            if card.has("operating_point.scope")
            else None,
            intended_use=_intended_use(card),
            does_not_look_for=card.texts("does_not_look_for"),
            limits=card.texts("limits"),
            routing=read_routing(card),
            details=card.entries,
        )


@dataclass(frozen=True, slots=True)
class ModelPackage:
    """A model card and the weights it was written for."""

    card: ModelCard
    weights: bytes = field(repr=False)  # an ONNX file


def _input(card: Entries) -> ModelInput:
    """Read how the input is made; without a recipe it is made as for the bundled models."""
    values = card.numbers("input.recipe.values")
    if len(values) not in (0, 2):
        raise ValueError("the model card's input.recipe.values is not two numbers")
    return ModelInput(
        name=card.get("input.name", str),
        size=card.get("input.size", int),
        channels=card.optional("input.channels", int, 1),
        layout=card.one_of("input.layout", LAYOUTS),
        fit=card.one_of("input.recipe.fit", FITS),
        grey=card.one_of("input.recipe.grey", GREYS),
        values=(values[0], values[1]) if values else None,
        mean=card.numbers("input.recipe.mean"),
        std=card.numbers("input.recipe.std"),
    )


def _output(card: Entries) -> ModelOutput:
    """Read the names of the tensors: ours by default, or one foreign one with the scores."""
    has_ours = not card.has("output.scores")
    if has_ours:
        card.get("output.logit", str)
    return ModelOutput(
        scores="logit" if has_ours else card.get("output.scores.name", str),
        kind="logit" if has_ours else card.one_of("output.scores.kind", SCORE_KINDS),
        activation="activation" if card.optional("output.activation", str, "") else None,
        scope="scope" if card.has("operating_point.scope") else None,
    )


def _findings(card: Entries) -> tuple[FindingOutput, ...]:
    """Read one finding with the card's operating point, or a list with an own one each."""
    if card.has("output.finding") and card.has("output.findings"):
        raise ValueError("the model card has output.finding and output.findings")
    if not card.has("output.findings"):
        finding, point = card.under("output.finding"), card.under("operating_point")
        return (_finding(finding, point, column=0),)
    return tuple(
        _finding(one, one.under("operating_point"), column=one.optional("column", int, number))
        for number, one in enumerate(card.each("output.findings"))
    )


def _finding(finding: Entries, point: Entries, *, column: int) -> FindingOutput:
    return FindingOutput(
        coding=_coded(finding),
        critical=finding.get("critical", bool),
        column=column,
        calibration_slope=point.get("calibration.slope", float),
        calibration_intercept=point.get("calibration.intercept", float),
        threshold=point.get("threshold", float),
        abstain_low=point.get("abstain.low", float),
        abstain_high=point.get("abstain.high", float),
        body_site=_coded(finding.under("body_site")) if finding.has("body_site") else None,
    )


def _coded(entry: Entries) -> FindingCode:
    return FindingCode(
        system=entry.get("system", str),
        code=entry.get("code", str),
        display=entry.get("display", str),
    )


def _intended_use(card: Entries) -> IntendedUse:
    """Read the rules; ages are whole years in the card, both ends included."""
    use = card.under("intended_use")
    first_year = use.get("age_years.min", int)
    last_year = use.get("age_years.max", int)
    if first_year < 0 or last_year > OLDEST:
        raise ValueError(f"the model card's intended_use.age_years is not 0 to {OLDEST}")
    return IntendedUse(
        modalities=_terms(use, "modalities"),
        body_parts=_terms(use, "body_parts") if use.has("body_parts") else frozenset(),
        views=_terms(use, "views") if use.has("views") else frozenset(),
        min_age_days=int(first_year * DAYS_PER_YEAR),
        max_age_days=int((last_year + 1) * DAYS_PER_YEAR) - 1,
        population=use.get("population", str),
        projection=use.get("projection", str),
        frame=use.get("frame", int) if use.has("frame") else None,
    )


def _terms(use: Entries, path: str) -> frozenset[str]:
    """Return DICOM's defined terms, in capitals as a header has them."""
    return frozenset(text.upper() for text in use.texts(path))
