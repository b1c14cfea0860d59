"""Phantoms and tests of a device: refused where the header says so, whichever model would read."""

from dataclasses import replace
from typing import Any

import pytest
from pydicom import Dataset

from cds_service.adapters.pixels import DicomReader
from cds_service.domain.guards import check_header
from cds_service.domain.study import HeaderOverrides
from cds_service.errors import StudyOutOfScope
from tests.fakes.imaging import a_use
from tests.unit.imaging.dicom import a_film, as_file

ANY_BODY_PART = replace(a_use(), body_parts=frozenset())


def region(code: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "SCT", "region"
    return item


def refusal(**changes: Any) -> str:
    header = DicomReader().header(as_file(a_film(**changes)))
    try:
        check_header(header, ANY_BODY_PART, HeaderOverrides(), None)
    except StudyOutOfScope as refused:
        return refused.code
    return ""


@pytest.mark.parametrize(
    "header",
    [
        {"QualityControlImage": "YES"},
        {"QualityControlSubject": "YES"},
        {"ContentQualification": "SERVICE"},
        {"BodyPartExamined": "PHANTOM"},
        {"BodyPartExamined": None, "AnatomicRegionSequence": [region("706342009")]},
    ],
    ids=lambda header: " ".join(header),
)
def test_what_the_header_calls_a_phantom_or_a_test_is_refused(header: dict[str, Any]) -> None:
    assert refusal(**header) == "quality-control"


@pytest.mark.parametrize(
    "header",
    [
        {"QualityControlImage": "NO", "QualityControlSubject": "NO"},
        {"ContentQualification": "PRODUCT"},
        {"BodyPartExamined": None, "AnatomicRegionSequence": [region("51185008")]},
        {"PatientName": "TESTER^PHANTOM", "PatientID": "QC-1"},  # people are called so
    ],
    ids=lambda header: " ".join(header),
)
def test_a_patient_is_taken_for_no_phantom(header: dict[str, Any]) -> None:
    assert refusal(**header) == ""
