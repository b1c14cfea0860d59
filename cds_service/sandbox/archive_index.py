"""What the archive answers a search with, taken from each instance once, when it is stored.

Source: DICOM PS3.18 10.6 (search transaction), tables 10.6.3-3 to 10.6.3-5 (returned attributes).
"""

from typing import Any

from pydicom.dataset import Dataset

DicomJson = dict[str, dict[str, Any]]

STUDY_KEYWORDS = (
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
)
SERIES_KEYWORDS = ("Modality", "SeriesDescription", "SeriesInstanceUID", "SeriesNumber")
INSTANCE_KEYWORDS = (
    "SOPClassUID",
    "SOPInstanceUID",
    "InstanceNumber",
    "Rows",
    "Columns",
    "BitsAllocated",
    "NumberOfFrames",
)


def attributes_of(dataset: Dataset, keywords: tuple[str, ...]) -> DicomJson:
    """Return the named attributes that the dataset has, as DICOM JSON."""
    chosen = Dataset()
    for keyword in keywords:
        if keyword in dataset:
            chosen[keyword] = dataset[keyword]
    answer: DicomJson = chosen.to_json_dict()
    return answer


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return an attribute as text, "" where it is absent or empty."""
    return str(dataset.get(keyword) or "")
