"""Choose the images of a study that a model takes, by its rules, before any pixel is decoded.

An image that the guards refuse is no candidate: a lateral film beside a frontal one counts neither
for a series nor against it.

Source: docs/reference/routing.md; architecture "One job through the house", step 3.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cds_service.domain.guards import IntendedUse, check_header
from cds_service.domain.rule import Facts
from cds_service.domain.series_rules import (
    Candidate,
    Decision,
    SeriesRules,
    decide_series,
    facts_read,
)
from cds_service.domain.study import InstanceHeader, PatientFacts
from cds_service.errors import StudyOutOfScope, StudyUnusable
from cds_service.usecases.ports import ImageReader, SourceInstance


@dataclass(frozen=True, slots=True)
class ReadImage:
    """One image whose header was read, or why that could not be done."""

    header: InstanceHeader | None
    facts: Facts
    refusal: StudyUnusable | None  # of the header itself, or by the model's intended use


@dataclass(frozen=True, slots=True)
class Choice:
    """What the rules say about a study; places are those of its instances."""

    images: tuple[ReadImage, ...]
    decisions: tuple[Decision, ...]  # one for each series, in order of appearance

    @property
    def taken(self) -> frozenset[int]:
        """The places of the images that the model reads."""
        return frozenset(
            place for one in self.decisions if one.is_taken for place in one.series.places
        )

    @property
    def passed_over(self) -> frozenset[int]:
        """The places of the images that could be read and that the rules leave out."""
        usable = {place for place, image in enumerate(self.images) if image.refusal is None}
        return frozenset(usable - self.taken)


def choose_images(
    instances: Sequence[SourceInstance],
    reader: ImageReader,
    use: IntendedUse,
    patient: PatientFacts | None,
) -> Choice:
    """Read every header and decide on each series; a model without rules takes what it can read."""
    images = tuple(_read(instance, reader, use, patient) for instance in instances)
    rules = use.series or SeriesRules()
    places: dict[str, list[int]] = {}
    for place, image in enumerate(images):
        if image.header is not None:
            places.setdefault(image.header.series_uid or "", []).append(place)
    candidates = [_candidate(uid, images, found, rules) for uid, found in places.items()]
    return Choice(images, decide_series(rules, candidates))


def no_series(choice: Choice, use: IntendedUse) -> StudyOutOfScope:
    """Return the refusal of a study in which the rules take nothing that could be read."""
    why = next((one.why for one in choice.decisions if not one.is_taken), "it has no series")
    return StudyOutOfScope("no-series", f"made for {use.projection}, no series fits: {why}")


def _read(
    instance: SourceInstance, reader: ImageReader, use: IntendedUse, patient: PatientFacts | None
) -> ReadImage:
    try:
        header = reader.header(instance.data)
    except StudyUnusable as refusal:
        return ReadImage(None, {}, refusal)
    facts = facts_read(header, instance.overrides, patient)
    try:
        check_header(header, use, instance.overrides, patient)
    except StudyUnusable as refusal:
        return ReadImage(header, facts, refusal)
    return ReadImage(header, facts, None)


def _candidate(
    uid: str, images: Sequence[ReadImage], places: Sequence[int], rules: SeriesRules
) -> Candidate:
    fitting = [
        place
        for place in places
        if images[place].refusal is None and rules.takes(images[place].facts)
    ]
    first = images[fitting[0] if fitting else places[0]]
    number = first.header.series_number if first.header else 0
    return Candidate(uid, number, tuple(fitting), first.facts)
