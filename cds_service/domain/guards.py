"""Guards: which images a model may read.

A guard that cannot tell refuses. Texts are clauses for a card, "not analysed: made for children
aged 1-5, this patient is 61"; they never repeat free text of a header nor anything about who else
the images may show.

Source: DICOM PS3.3 C.7.3.1 (modality), C.8.11.1 (view position), PS3.5 6.2
(AS, DA); architecture "One job through the house", step 3.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from cds_service.domain.binding import known_birth_date
from cds_service.domain.series_rules import DAYS_PER_YEAR, SeriesRules
from cds_service.domain.study import HeaderOverrides, InstanceHeader, PatientFacts
from cds_service.errors import StudyOutOfScope, StudyUnusable, UnreadableInstance

_DAYS_PER_UNIT = {"D": 1.0, "W": 7.0, "M": DAYS_PER_YEAR / 12, "Y": DAYS_PER_YEAR}
_SMALLEST_SIDE = 64  # pixels; below it there is no radiograph, only an icon of one

_MODALITY_WORDS = {
    "CR": "an X-ray image",
    "CT": "a CT",
    "DX": "an X-ray image",
    "MG": "a mammogram",
    "MR": "an MR image",
    "NM": "a nuclear medicine image",
    "OT": "another kind of image",
    "PT": "a PET image",
    "RTDOSE": "a radiotherapy dose",
    "SEG": "a segmentation",
    "US": "an ultrasound image",
    "XA": "an angiogram",
}
# Defined terms (PS3.16 Annex L) that are also plain words; any other text is not repeated.
_BODY_PARTS = frozenset(
    {
        *("ABDOMEN", "ANKLE", "ARM", "BREAST", "CLAVICLE", "ELBOW", "FEMUR", "FINGER", "FOOT"),
        *("HAND", "HEAD", "HIP", "JAW", "KNEE", "LEG", "NECK", "PELVIS", "SHOULDER", "SKULL"),
        *("SPINE", "STERNUM", "TOE", "WRIST"),
    }
)
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"  # and its multi-frame kinds below it
# PS3.3 C.8.6.1: pictures of a screen, drawings and papers. Digitised films (DF) are radiographs.
_NOT_FILMS = frozenset({"DRW", "DV", "SD", "SYN", "WSD"})
_LATERAL_VIEWS = frozenset({"LL", "RL", "LATERAL", "LAT", "LLD", "RLD"})


@dataclass(frozen=True, slots=True)
class IntendedUse:
    """The executable part of a model card's intended use."""

    modalities: frozenset[str]
    body_parts: frozenset[str]  # DICOM Body Part Examined; a silent header passes; none: any
    views: frozenset[str]  # DICOM View Position; none: any
    min_age_days: int  # inclusive
    max_age_days: int  # inclusive
    population: str  # for people: "children aged 1-5"
    projection: str  # for people: "frontal chest X-rays"
    series: SeriesRules | None = None  # which series of a study; None: every image that fits
    frame: int | None = None  # read of an object with several, from 1; None: such are refused


def age_in_days(text: str) -> int | None:
    """Read a DICOM age string, such as "003Y", "018M", "040W" or "010D"; None when it is none."""
    match = re.fullmatch(r"(\d{1,3})([DWMY])", text.strip().upper())
    return int(int(match[1]) * _DAYS_PER_UNIT[match[2]]) if match else None


def check_header(
    header: InstanceHeader,
    use: IntendedUse,
    overrides: HeaderOverrides,
    facts: PatientFacts | None = None,
) -> tuple[str, ...]:
    """Let an image of the model's kind pass, and return the codes of what was compared.

    `overrides` count only where the header is silent. What is known to be wrong is reported
    before what is unknown. Raises UnreadableInstance "no-image" for an object without pixels,
    else StudyOutOfScope.
    """
    if header.rows <= 0 or header.columns <= 0:
        raise UnreadableInstance("no-image", "it holds no image")
    refusals = list(_refusals(header, use, overrides, facts))
    if refusals:
        raise next((r for r in refusals if not r.code.endswith("-unknown")), refusals[0])
    if header.frames > 1:
        _check_frames(header.frames, use.frame)
    states_body_part = bool(header.body_part or overrides.body_part)
    compared = {
        "modality": True,
        "body-part": states_body_part and bool(use.body_parts),
        "view": bool(use.views),
        "age": True,
        "size": True,
    }
    return tuple(code for code, was_compared in compared.items() if was_compared)


def _check_frames(frames: int, wanted: int | None) -> None:
    if wanted is None:
        raise StudyOutOfScope("multi-frame", "it has more than one frame")
    if wanted > frames:
        raise StudyOutOfScope("no-such-frame", "it does not have the frame that is asked for")


def _refusals(
    header: InstanceHeader,
    use: IntendedUse,
    overrides: HeaderOverrides,
    facts: PatientFacts | None,
) -> Iterator[StudyOutOfScope]:
    modality = header.modality or (overrides.modality or "").upper()
    body_part = header.body_part or (overrides.body_part or "").upper()
    view = header.view or (overrides.view or "").upper()
    made_for = f"made for {use.projection}"
    if not modality:
        yield StudyOutOfScope("modality-unknown", f"{made_for}, the kind of image is not stated")
    elif modality not in use.modalities:
        what = _MODALITY_WORDS.get(modality, "another kind of image")
        yield StudyOutOfScope("modality", f"{made_for}, this is {what}")
    if body_part and use.body_parts and body_part not in use.body_parts:
        part = body_part.lower() if body_part in _BODY_PARTS else "another body part"
        yield StudyOutOfScope("body-part", f"{made_for}, this shows {part}")
    if use.views and not view:
        yield StudyOutOfScope("view-unknown", f"{made_for}, the view is not stated")
    elif use.views and view not in use.views:
        what = "a lateral view" if view in _LATERAL_VIEWS else "another view"
        yield StudyOutOfScope("view", f"{made_for}, this is {what}")
    yield from _origin_refusals(header)
    if min(header.rows, header.columns) < _SMALLEST_SIDE:
        yield StudyOutOfScope("too-small", "the image is too small")
    yield from _age_refusals(header, use, overrides, facts)


def _origin_refusals(header: InstanceHeader) -> Iterator[StudyOutOfScope]:
    """Refuse what is no image of a patient as the device made it."""
    if header.is_quality_control:
        yield StudyOutOfScope("quality-control", "it is a quality control image")
    is_capture = (header.sop_class or "").startswith(_SECONDARY_CAPTURE)
    if is_capture and header.conversion_type in _NOT_FILMS:
        yield StudyOutOfScope("secondary-capture", "it is a picture of a screen or a paper")
    if header.has_burned_in_text:
        yield StudyOutOfScope("burned-in-text", "text is burned into the image")


def _age_refusals(
    header: InstanceHeader,
    use: IntendedUse,
    overrides: HeaderOverrides,
    facts: PatientFacts | None,
) -> Iterator[StudyOutOfScope]:
    """Refuse an age outside, whichever source states it: the header or the EHR."""
    stated = header.patient_age_days
    if stated is None:
        stated = overrides.patient_age_days
    ehr = _age_at(header.study_date, facts.birth_date if facts else None)
    born = None
    if stated is None and ehr is None:
        born = _age_at(header.study_date, known_birth_date(header))
    ages = [age for age in (stated, ehr, born) if age is not None]
    if not ages:
        yield StudyOutOfScope(
            "age-unknown", f"made for {use.population}, the patient's age is not stated"
        )
    for age in ages:
        if not use.min_age_days <= age <= use.max_age_days:
            yield StudyOutOfScope("age", f"made for {use.population}, this patient is {_say(age)}")


def _age_at(day: date | None, birth: date | None) -> int | None:
    if day is None or birth is None or day < birth:
        return None
    return (day - birth).days


def _say(days: int) -> str:
    """Say an age as people do: whole years, months below two years, days below one month."""
    # An age stated in years or months was cut to days, and a birthday may fall 0.75 days early.
    lived = days + 1
    if lived >= 2 * DAYS_PER_YEAR:
        return str(int(lived / DAYS_PER_YEAR))
    months = int(lived / _DAYS_PER_UNIT["M"])
    number, unit = (months, "month") if months else (days, "day")
    return f"{number} {unit}{'' if number == 1 else 's'} old"


def rank(refusal: StudyUnusable) -> int:
    """Order refusals by how much they say about the study: the lowest is shown."""
    if isinstance(refusal, StudyOutOfScope):
        return 0
    return 2 if refusal.code == "no-image" else 1
