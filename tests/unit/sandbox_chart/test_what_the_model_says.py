"""Every study of the sandbox through the real reader, guards and model: each shows what it says."""

from datetime import date

import onnxruntime
import pytest

from cds_service.adapters.pixels import DicomReader
from cds_service.domain.binding import check_patient
from cds_service.domain.guards import check_header
from cds_service.domain.study import HeaderOverrides, PatientFacts
from cds_service.errors import StudyUnusable
from cds_service.sandbox.patients import PATIENTS, PatientRow, StudyRow
from cds_service.sandbox.radiographs import Pictures, instances
from cds_service.sandbox.seed import PICTURES
from models.calibrate import decide, probability_of
from models.prepare import prepare
from models.registry import package_of

TODAY = date(2026, 11, 22)
SEXES = {"M": "male", "F": "female"}
SAYS = {
    "A-24001": True,
    "A-24002": False,
    "A-24003": "age",
    "A-24004": "view",
    "A-24005": "modality",
    "A-24006": "patient-mismatch",
    "A-24007": True,
    "A-23107": False,
    "A-24009": True,
    "A-24010": "damaged-pixels",
}


@pytest.mark.parametrize(
    ("row", "study"), [(row, study) for row in PATIENTS for study in row.studies]
)
def test_each_study_is_read_or_refused_as_its_row_says(row: PatientRow, study: StudyRow) -> None:
    package, reader = package_of("cxr_pneumonia_peds"), DicomReader()
    facts = PatientFacts(
        row.id, (row.person.mrn,), row.person.birth_date(TODAY), SEXES[row.person.sex]
    )
    file = next(instances(row, study, Pictures.in_folder(PICTURES), TODAY))

    try:
        header = reader.header(file)
        check_patient(header, facts)
        check_header(header, package.card.intended_use, HeaderOverrides(), facts)
        batch = prepare(reader.pixels(file).values, package.card.input.size)
    except StudyUnusable as refusal:
        assert refusal.code == SAYS[study.accession]
        return

    session = onnxruntime.InferenceSession(package.weights)
    logit = session.run(None, {session.get_inputs()[0].name: batch})[0].item()
    (point,) = package.card.findings
    assert decide(probability_of(logit, point), point) == SAYS[study.accession]
