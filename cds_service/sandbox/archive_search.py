"""A QIDO-RS request, read strictly: which instances, which rows of them.

Source: DICOM PS3.18 8.3.4 (query parameters), 10.6.1.2 (matching attributes).
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from pydicom.datadict import tag_for_keyword

from cds_service.sandbox.outcomes import UnsupportedParameter

_COLUMNS = {
    "PatientID": "patient_id",
    "StudyInstanceUID": "study_uid",
    "AccessionNumber": "accession",
    "Modality": "modality",
    "SeriesInstanceUID": "series_uid",
    "SOPInstanceUID": "sop_uid",
    "SOPClassUID": "sop_class_uid",
}
_KEYWORDS = (*_COLUMNS, "StudyDate", "ModalitiesInStudy")
_BY_TAG = {f"{tag_for_keyword(keyword) or 0:08X}": keyword for keyword in _KEYWORDS}
_DAY = re.compile(r"\d{8}", re.ASCII)
_IGNORED = frozenset({"includefield", "fuzzymatching"})


@dataclass(slots=True)
class ArchiveQuery:
    """What to look for: `matches` by column, `days` of study, a modality somewhere in the study."""

    matches: dict[str, list[str]] = field(default_factory=dict)
    days: tuple[str, str] | None = None
    modality_in_study: str | None = None
    limit: int | None = None
    offset: int = 0


def parse_archive_query(pairs: Iterable[tuple[str, str]]) -> ArchiveQuery:
    """Return the query; raise UnsupportedParameter for what we cannot match."""
    query = ArchiveQuery()
    for name, value in pairs:
        keyword = _BY_TAG.get(name.upper(), name)
        if name == "limit":
            query.limit = _number(name, value)
        elif name == "offset":
            query.offset = _number(name, value)
        elif keyword == "StudyDate":
            query.days = _days(value)
        elif keyword == "ModalitiesInStudy":
            query.modality_in_study = value
        elif keyword in _COLUMNS:
            query.matches[_COLUMNS[keyword]] = _alternatives(keyword, value)
        elif name not in _IGNORED:
            raise UnsupportedParameter(f"this archive cannot search by {name!r}")
    return query


def _alternatives(keyword: str, value: str) -> list[str]:
    if "*" in value or "?" in value:
        raise UnsupportedParameter("this archive matches no wildcards")
    return re.split(r"[,\\]", value) if keyword.endswith("UID") else [value]


def _days(value: str) -> tuple[str, str]:
    first, dash, last = value.partition("-")
    if not (first or last) or not all(_DAY.fullmatch(day) for day in (first, last) if day):
        raise UnsupportedParameter("StudyDate is a day, or a range of days, as YYYYMMDD")
    return first, last if dash else first


def _number(name: str, value: str) -> int:
    if not value.isascii() or not value.isdigit() or len(value) > 9:
        raise UnsupportedParameter(f"{name} must be a whole number")
    return int(value)
