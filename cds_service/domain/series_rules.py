"""Which images of a study a model takes: its rule, the best series, and how many images.

Source: docs/reference/routing.md; DICOM PS3.3 C.7.3 (series), C.7.1.1 (patient's sex).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cds_service.domain.binding import known_birth_date
from cds_service.domain.imaging_terms import REGIONS
from cds_service.domain.rule import Facts, Rule
from cds_service.domain.study import (
    HeaderOverrides,
    InstanceHeader,
    PatientFacts,
    SeriesReference,
    StudyReference,
)

DAYS_PER_YEAR = 365.25
_SEX = {"male": "M", "female": "F", "other": "O"}  # FHIR to DICOM


@dataclass(frozen=True, slots=True)
class SeriesRules:
    """The executable part of a model card's `routing`."""

    rule: Rule | None = None  # of every image; None: any
    only_best: bool = False  # one series, not every one that fits
    prefer: tuple[Rule, ...] = ()  # what makes a series the best, the weightiest first
    min_images: int = 1  # of each series
    max_images: int | None = None

    def excludes(self, facts: Facts) -> bool:
        """Tell whether what is known already is against it."""
        return self.rule is not None and self.rule.judge(facts) is False

    def takes(self, facts: Facts) -> bool:
        """Tell whether an image whose header was read fits: what it does not state does not."""
        return self.rule is None or self.rule.judge(facts) is True


@dataclass(frozen=True, slots=True)
class Candidate:
    """One series with the images of it that fit, by their places in the study."""

    uid: str
    number: int  # Series Number
    places: tuple[int, ...]
    facts: Facts  # of its first image that fits


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with one series."""

    series: Candidate
    is_taken: bool
    why: str  # a clause


def decide_series(rules: SeriesRules, candidates: Sequence[Candidate]) -> tuple[Decision, ...]:
    """Decide on each series, in the order given.

    Of several that are equally preferred the one with the most images is the best, then the one
    with the lowest number, then the lowest UID: the same study is always read alike.
    """
    said = [_why_not(rules, one) for one in candidates]
    fitting = [one for one, why in zip(candidates, said, strict=True) if not why]
    best = min(fitting, key=lambda one: _rank(rules, one), default=None)
    decisions = []
    for one, why in zip(candidates, said, strict=True):
        is_passed_over = not why and rules.only_best and one is not best
        taken = "the best series" if rules.only_best else "it fits"
        text = why or ("another series is better" if is_passed_over else taken)
        decisions.append(Decision(one, not why and not is_passed_over, text))
    return tuple(decisions)


def _why_not(rules: SeriesRules, series: Candidate) -> str:
    count = len(series.places)
    if count == 0:
        return "no image of it fits"
    if count < rules.min_images:
        return f"{count} of at least {rules.min_images} images fit"
    if rules.max_images is not None and count > rules.max_images:
        return f"{count} images fit, more than {rules.max_images}"
    return ""


def _rank(rules: SeriesRules, series: Candidate) -> tuple[object, ...]:
    preferred = tuple(rule.judge(series.facts) is not True for rule in rules.prefer)
    return (*preferred, -len(series.places), series.number, series.uid)


def facts_before(
    study: StudyReference, series: SeriesReference | None, patient: PatientFacts | None
) -> Facts:
    """Return what the EHR states of one series; its descriptions are not those of the images."""
    facts: dict[str, str | float] = {}
    if series is not None and series.modality:
        facts["Modality"] = series.modality
    elif len(study.modalities) == 1:
        facts["Modality"] = study.modalities[0]
    regions = [REGIONS[code] for code in (series.body_sites if series else ()) if code in REGIONS]
    if regions:
        facts["BodyPartExamined"] = regions[0].upper()
    if patient is not None and patient.sex in _SEX:
        facts["PatientSex"] = _SEX[patient.sex]
    birth = patient.birth_date if patient else None
    if birth is not None and study.started is not None:
        facts["PatientAge"] = _years((study.started.date() - birth).days)
    return facts


def facts_read(
    header: InstanceHeader, overrides: HeaderOverrides, patient: PatientFacts | None
) -> Facts:
    """Return what is known of one image once its header was read; the EHR fills what it omits."""
    facts: dict[str, str | float] = dict(header.elements)
    stated = {
        "Modality": header.modality or (overrides.modality or "").upper(),
        "BodyPartExamined": header.body_part or (overrides.body_part or "").upper(),
        "ViewPosition": header.view or (overrides.view or "").upper(),
        "Laterality": header.laterality,
        "PatientSex": header.patient_sex or _SEX.get((patient and patient.sex) or "", ""),
    }
    facts |= {keyword: value for keyword, value in stated.items() if value}
    age = _age_days(header, overrides, patient)
    if age is not None:
        facts["PatientAge"] = _years(age)
    return facts


def _years(days: int) -> float:
    """Return an age as a rule compares it: "018Y" and the eighteenth birthday are 18, not 17.99."""
    return round(days / DAYS_PER_YEAR, 2)


def _age_days(
    header: InstanceHeader, overrides: HeaderOverrides, patient: PatientFacts | None
) -> int | None:
    for days in (header.patient_age_days, overrides.patient_age_days):
        if days is not None:
            return days
    for birth in (patient.birth_date if patient else None, known_birth_date(header)):
        if birth is not None and header.study_date is not None and birth <= header.study_date:
            return (header.study_date - birth).days
    return None
