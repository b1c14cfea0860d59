"""Images of somebody else, from the door to the alert: wiring, archive and model are real.

The alert is an error in the log, a line in the audit log, and `sightline mismatches`, whose exit
code a monitor reads.
"""

import logging
from dataclasses import dataclass, replace
from typing import Any

import pytest
from click.testing import CliRunner
from click.testing import Result as Said
from pydicom.uid import RLELossless

from cds_service import wiring
from cds_service.adapters.pixels import DicomReader
from cds_service.cli import main
from cds_service.domain.finding import Analysis
from cds_service.domain.intake import Clue, Reception
from cds_service.intake.receive import receive
from cds_service.usecases.run_inference import Workbench, run_inference
from tests.intake.conftest import Hospital
from tests.pushed import a_pushed_film, as_pushed
from tests.unit.imaging.dicom import a_composite


@dataclass
class Ward:
    """One study of the hospital whose images lie in its archive."""

    hospital: Hospital
    number: int
    instances: int = 0

    @property
    def uid(self) -> str:
        return f"1.2.840.99999.{self.number}"

    def admit(self, **person: Any) -> None:
        """Let the EHR have the patient, and the study with as many images as there are."""
        self.hospital.admit(self.number, numberOfInstances=self.instances)
        child = {"resourceType": "Patient", "id": "p-1", "birthDate": "2023-01-01"}
        identifier = {"identifier": [{"system": "urn:hospital", "value": "MRN-1"}]}
        self.hospital.ehr.parts.fhir.update(child | identifier | {"gender": "female"} | person)

    def take_film(self, **header: Any) -> None:
        """Let the archive have one more image."""
        self.instances += 1
        values = {"StudyInstanceUID": self.uid, "PatientBirthDate": "20230101"} | header
        uids = {
            "SeriesInstanceUID": f"{self.uid}.1",
            "SOPInstanceUID": f"{self.uid}.1.{self.instances}",
        }
        picture = a_composite(size=(256, 256))
        film = a_pushed_film(self.instances, pixels=picture, **uids | values)
        film.compress(RLELossless, generate_instance_uid=False)
        self.hospital.ehr.parts.archive.store(as_pushed(film))

    def receive(self) -> Reception:
        """Tell an intake door of the study."""
        return receive(Clue(self.uid), self.hospital.tenant, self.hospital.desk)

    def analyse(self, bench: Workbench | None = None) -> Analysis:
        """Let a worker do the newest job; return what became of it."""
        assert self.receive() is Reception.ASKED
        whose = ("t-1", "p-1", [self.uid])
        job = max(self.hospital.house.jobs.of_models(*whose), key=lambda one: one.created_at)
        outcome = run_inference(job.id, "worker", bench or wiring.workbench(self.hospital.settings))
        assert outcome in {"done", "postponed"}, outcome
        [result] = self.hospital.house.results.of_models(*whose)
        return result.analysis


def mismatches(hospital: Hospital) -> Said:
    return CliRunner().invoke(main, ["mismatches", "--data", str(hospital.settings.data)])


def errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR]


def test_images_of_somebody_else_raise_an_alert_and_show_nobodys_number(
    hospital: Hospital, caplog: pytest.LogCaptureFixture
) -> None:
    ward = Ward(hospital, 701)
    ward.take_film(PatientID="MRN-OTHER", PatientName="Other^Person", PatientBirthDate="20220202")
    ward.admit()

    analysis = ward.analyse()

    said = mismatches(hospital)
    assert analysis.reason is not None and analysis.reason.code == "patient-mismatch"
    assert analysis.findings == ()
    assert said.exit_code == 1
    assert "birth-date-differs, patient-id-differs" in said.output
    assert hospital.tenant.name in said.output and ward.uid in said.output
    [error] = errors(caplog)
    assert error.startswith("patient mismatch: job=") and error.endswith("tenant=t-1")
    for word in ("OTHER", "Other", "2022", "p-1", "MRN"):
        assert word not in said.output and word not in error


def test_a_study_that_the_ehr_gives_to_two_patients_raises_an_alert(
    hospital: Hospital, caplog: pytest.LogCaptureFixture
) -> None:
    ward = Ward(hospital, 702)
    ward.admit()
    theirs = hospital.ehr.parts.fhir.read("ImagingStudy", "s-702")
    assert theirs is not None
    other = {"id": "s-702-2", "subject": {"reference": "Patient/p-2"}}
    hospital.ehr.parts.fhir.update(theirs | other)

    assert ward.receive() is Reception.AMBIGUOUS

    said = mismatches(hospital)
    assert said.exit_code == 1 and "several patients" in said.output and ward.uid in said.output
    assert errors(caplog) == ["patient mismatch: a study of several patients: tenant=t-1"]
    assert hospital.asked() == []


def test_a_name_that_is_spelled_otherwise_is_noted_and_the_study_is_analysed(
    hospital: Hospital, caplog: pytest.LogCaptureFixture
) -> None:
    ward = Ward(hospital, 703)
    ward.take_film(PatientName="Quite^Different")
    ward.admit(name=[{"family": "Finch", "given": ["Ada"]}])

    analysis = ward.analyse()

    said = mismatches(hospital)
    assert analysis.findings and said.exit_code == 0
    assert "name-differs" in said.output and ward.uid in said.output
    assert errors(caplog) == []
    assert "Quite" not in said.output and "Finch" not in said.output


class AnotherDecoder(DicomReader):
    """A decoder that makes other pixels of the same bytes than the one before its update."""

    def pixels(self, instance: bytes, frame: int = 1) -> Any:
        """Decode."""
        return replace(super().pixels(instance, frame), sha256="f" * 64)


def test_pixels_that_are_others_than_before_raise_an_alert(
    hospital: Hospital, caplog: pytest.LogCaptureFixture
) -> None:
    ward = Ward(hospital, 704)
    ward.take_film()
    ward.admit()
    assert ward.analyse().findings and mismatches(hospital).exit_code == 0
    ward.take_film()
    ward.admit()  # an image more, so that all are read again

    bench = wiring.workbench(hospital.settings)
    analysis = ward.analyse(replace(bench, reader=AnotherDecoder()))

    said = mismatches(hospital)
    assert "damaged-pixels" in {one.code for one in analysis.instances}
    assert said.exit_code == 1 and "pixels-differ" in said.output and ward.uid in said.output
    [error] = errors(caplog)
    assert error.startswith("pixels differ: job=") and error.endswith("tenant=t-1")
