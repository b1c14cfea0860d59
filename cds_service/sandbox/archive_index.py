"""What the archive answers a search with, at each of the three levels.

Source: DICOM PS3.18 10.6.3 (tables 10.6.3-3 to 10.6.3-5, attributes returned), F.2 (DICOM JSON).
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Literal

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset

DicomJson = dict[str, dict[str, Any]]
Level = Literal["study", "series", "instance"]


def _tag(keyword: str) -> str:
    return f"{tag_for_keyword(keyword) or 0:08X}"


_RETURNED: dict[Level, tuple[str, ...]] = {
    "study": (
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ReferringPhysicianName",
        "StudyDescription",
        "PatientName",
        "PatientID",
        "IssuerOfPatientID",
        "PatientBirthDate",
        "PatientSex",
        "StudyInstanceUID",
        "StudyID",
    ),
    "series": ("Modality", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber"),
    "instance": (
        "SOPClassUID",
        "SOPInstanceUID",
        "InstanceNumber",
        "Rows",
        "Columns",
        "BitsAllocated",
        "NumberOfFrames",
    ),
}
INDEXED = frozenset(_tag(keyword) for keywords in _RETURNED.values() for keyword in keywords)
_UID = {level: _tag(f"{name}InstanceUID") for level, name in (
    ("study", "Study"), ("series", "Series"), ("instance", "SOP"))}  # fmt: skip


def attributes_of(dataset: Dataset) -> DicomJson:
    """Return the dataset in DICOM JSON, without what cannot be decoded."""
    answer: DicomJson = {}
    for key in dataset.keys():  # noqa: SIM118  iterating a Dataset decodes its elements
        try:
            answer[f"{key:08X}"] = dataset[key].to_json_dict(None, 0)
        except Exception:  # noqa: S112  pydicom raises whatever a broken value makes it stumble over
            continue
    return answer


def rows_of(level: Level, instances: Iterable[DicomJson], archive_base: str) -> list[DicomJson]:
    """Return one row per study, series or instance, from instances in index order."""
    rows = []
    for _, group in groupby(instances, key=lambda instance: value_of(instance, _UID[level])):
        members = list(group)
        row = _shared_attributes(level, members[0])
        if level != "instance":
            row[_tag("InstanceAvailability")] = {"vr": "CS", "Value": ["ONLINE"]}
            row |= _counts(level, members)
        row[_tag("RetrieveURL")] = _text("UR", _retrieve_url(level, members[0], archive_base))
        rows.append(dict(sorted(row.items())))
    return rows


def value_of(attributes: Mapping[str, Mapping[str, Any]], tag: str) -> str:
    """Return the first value of an attribute as text, "" without one."""
    values = attributes.get(tag, {}).get("Value") or [""]
    return str(values[0] or "")


def _shared_attributes(level: Level, instance: DicomJson) -> DicomJson:
    levels: tuple[Level, ...] = ("study", "series", "instance")
    tags = [
        _tag(keyword) for known in levels[: levels.index(level) + 1] for keyword in _RETURNED[known]
    ]
    return {tag: instance[tag] for tag in tags if tag in instance}


def _counts(level: Level, members: list[DicomJson]) -> DicomJson:
    if level == "series":
        return {_tag("NumberOfSeriesRelatedInstances"): _number(len(members))}
    modalities = sorted({value_of(member, _tag("Modality")) for member in members} - {""})
    series = {value_of(member, _UID["series"]) for member in members}
    return {
        _tag("ModalitiesInStudy"): _text("CS", *modalities),
        _tag("NumberOfStudyRelatedSeries"): _number(len(series)),
        _tag("NumberOfStudyRelatedInstances"): _number(len(members)),
    }


def _retrieve_url(level: Level, instance: DicomJson, base: str) -> str:
    url = f"{base}/studies/{value_of(instance, _UID['study'])}"
    if level != "study":
        url += f"/series/{value_of(instance, _UID['series'])}"
    if level == "instance":
        url += f"/instances/{value_of(instance, _UID['instance'])}"
    return url


def _number(value: int) -> dict[str, Any]:
    return {"vr": "IS", "Value": [value]}


def _text(vr: str, *values: str) -> dict[str, Any]:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}
