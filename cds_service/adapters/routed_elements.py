"""Read from a DICOM header what routing rules may name.

Source: docs/reference/routing.md; DICOM PS3.6.
"""

import re

from pydicom import Dataset
from pydicom.multival import MultiValue

from cds_service.domain.rule import NUMBER_ELEMENTS, TEXT_ELEMENTS

_NUMBER = re.compile(r"[+-]?\d{1,9}(?:\.\d{0,9})?(?:[eE][+-]?\d{1,2})?")


def routed_elements(dataset: Dataset) -> dict[str, str | float]:
    """Return the stated elements by keyword; of several values the texts are joined as stored."""
    found: dict[str, str | float] = {}
    for keyword in TEXT_ELEMENTS:
        if text := _text(dataset.get(keyword)).strip(" \0"):
            found[keyword] = text
    for keyword in NUMBER_ELEMENTS:
        text = _text(dataset.get(keyword)).strip()
        if keyword != "PatientAge" and _NUMBER.fullmatch(text):
            found[keyword] = float(text)
    return found


def _text(value: object) -> str:
    """Return one value, or several, as text; a device may have stored a text as a number."""
    if isinstance(value, MultiValue):
        return "\\".join(map(str, value))
    return str(value) if isinstance(value, str | int | float) else ""
