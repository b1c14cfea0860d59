"""Filling the sandbox: once, again, and after an interruption."""

from pathlib import Path

import pytest

from cds_service.sandbox.parts import Sandbox
from cds_service.sandbox.patients import PATIENTS
from cds_service.sandbox.radiographs import PicturesMissing
from cds_service.sandbox.seed import seed
from tests.unit.sandbox_chart.conftest import a_config, opened


def test_every_study_of_the_record_has_its_images_in_the_archive(parts: Sandbox) -> None:
    studies = parts.fhir.search("ImagingStudy", {})

    assert len(studies) == sum(len(row.studies) for row in PATIENTS)
    for study in studies:
        uid = study["identifier"][0]["value"].removeprefix("urn:oid:")
        assert len(parts.archive.instances(uid)) == study["numberOfInstances"]


def test_every_study_leads_to_the_archive_and_to_its_order(parts: Sandbox) -> None:
    for study in parts.fhir.search("ImagingStudy", {}):
        endpoint = parts.fhir.read(*study["endpoint"][0]["reference"].split("/"))
        order = parts.fhir.read(*study["basedOn"][0]["reference"].split("/"))

        assert endpoint is not None and endpoint["address"] == "http://localhost:8001/dicom-web"
        assert order is not None and order["subject"] == study["subject"]
        assert order["identifier"][0]["value"] == study["identifier"][1]["value"]


def test_filling_twice_changes_nothing(filled: Path, pictures: Path) -> None:
    with opened(a_config(filled)) as sandbox:
        before = sandbox.fhir.search("Patient", {})
        told: list[str] = []

        seed(sandbox, lambda done, of, what: told.append(what), pictures)

        assert (sandbox.fhir.search("Patient", {}), told) == (before, [])


def test_an_interrupted_filling_goes_on_where_it_stopped(tmp_path: Path, pictures: Path) -> None:
    class Interrupted(Exception):
        pass

    def stop_after_two(done: int, of: int, what: str) -> None:
        if done == 2:
            raise Interrupted

    with opened(a_config(tmp_path)) as sandbox:
        with pytest.raises(Interrupted):
            seed(sandbox, stop_after_two, pictures)
        told: list[tuple[int, int]] = []

        seed(sandbox, lambda done, of, what: told.append((done, of)), pictures)

        assert told[-1] == (len(PATIENTS) - 2, len(PATIENTS) - 2)
        assert len(sandbox.fhir.search("Patient", {})) == len(PATIENTS)


def test_missing_pictures_leave_the_record_empty(tmp_path: Path) -> None:
    with opened(a_config(tmp_path)) as sandbox:
        with pytest.raises(PicturesMissing):
            seed(sandbox, lambda *_: None, tmp_path / "nowhere")

        assert sandbox.fhir.search("Patient", {}) == []


def test_the_clinician_who_is_signed_in_is_in_the_record(parts: Sandbox) -> None:
    clinician = parts.fhir.read(*parts.config.clinician.split("/"))

    assert clinician is not None and clinician["name"][0]["family"] == "Makebelieve"
