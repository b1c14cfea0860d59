"""The few imaging terms that we know by name: kinds of imaging and regions of the body.

Cards name studies with them, and an order is compared with a study by them. What is not listed
has no name and is never guessed.

Source: DICOM CID 29 (modalities); SNOMED CT body structures, as FHIR R4 ImagingStudy uses them.
"""

import re

from cds_service.domain.study import StudyReference

KINDS = {  # DICOM modality
    "CR": "X-ray",
    "DX": "X-ray",
    "CT": "CT",
    "MR": "MRI",
    "US": "ultrasound",
    "MG": "mammogram",
    "PT": "PET",
    "NM": "scintigraphy",
    "XA": "angiography",
    "RF": "fluoroscopy",
}
REGIONS = {  # SNOMED CT
    "51185008": "chest",
    "816094009": "chest",
    "69536005": "head",
    "818981001": "abdomen",
    "818983003": "abdomen",
    "12921003": "pelvis",
    "45048000": "neck",
}
_KIND_WORDS = {
    "X-ray": "x[ -]?rays?|xr|cxr|radiographs?|radiography",
    "CT": "(?<!pet[ /-])ct|computed tomography",
    "MRI": "mri|magnetic resonance",
    "ultrasound": "ultrasound|ultrasonography|sonography",
    "mammogram": "mammograms?|mammography",
    "PET": "pet[ /-]?ct|positron emission",
}
_REGION_WORDS = {
    "chest": "chest|thorax|lungs?|cxr",
    "head": "head|brain|skull",
    "abdomen": "abdomen|abdominal",
    "pelvis": "pelvis|pelvic",
    "neck": "neck",
}


def kind_of(study: StudyReference) -> str | None:
    """Return the first kind of imaging that the study names and we know: "X-ray"."""
    return next((KINDS[one] for one in study.modalities if one in KINDS), None)


def region_of(study: StudyReference) -> str | None:
    """Return the region that its series name by code: "chest"."""
    codes = (code for series in study.series for code in series.body_sites)
    return next((REGIONS[code] for code in codes if code in REGIONS), None)


def kind_in(text: str) -> str | None:
    """Return the one kind of imaging that a text speaks of; None for none or several."""
    return _only(_KIND_WORDS, text)


def region_in(text: str) -> str | None:
    """Return the one region that a text speaks of; None for none or several."""
    return _only(_REGION_WORDS, text)


def _only(words: dict[str, str], text: str) -> str | None:
    found = [
        name
        for name, pattern in words.items()
        if re.search(rf"(?<![\w-])(?:{pattern})(?![\w-])", text, re.IGNORECASE)
    ]
    return found[0] if len(found) == 1 else None
