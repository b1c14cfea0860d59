"""A study of an archive that speaks no DICOMweb, from the registration to its result."""

import sys
from dataclasses import replace

import pytest
import sqlalchemy as sa

from cds_service import wiring
from cds_service.adapters.ledger import schema
from cds_service.domain.finding import Analysis, AnalysisStatus
from cds_service.domain.instance_digest import instance_digest
from cds_service.domain.intake import Clue, Reception
from cds_service.errors import ArchiveRefused
from cds_service.intake.receive import receive
from cds_service.usecases.ports import Budget
from cds_service.usecases.run_inference import run_inference
from cds_service.wiring.images import archive
from tests.builders import a_study
from tests.contract.dimse_archive import as_films, dimse_server
from tests.intake.conftest import Hospital
from tests.intake.dimse import tidied as tidied
from tests.pushed import a_pushed_film, as_pushed
from tests.unit.imaging.dicom import a_composite

UID = "1.2.840.99999.1"


def analysed(hospital: Hospital, film: bytes) -> Analysis:
    """Let the archive have this film, and a worker do the job of its study."""
    with dimse_server() as pacs:
        pacs.films = as_films(film)
        hospital.house.tenants.change(replace(hospital.tenant, archive_base=pacs.base))
        hospital.admit()
        tenant = hospital.house.tenants.get(hospital.tenant.id)
        assert receive(Clue(UID), tenant, hospital.desk) is Reception.ASKED
        with hospital.house.engine.connect() as connection:
            job_id = connection.execute(sa.select(schema.job.c.id)).scalar_one()

        run_inference(job_id, "worker", wiring.workbench(hospital.settings))

    (result,) = hospital.house.results.of_models("t-1", "p-1", [UID])
    return result.analysis


def a_film_born(date: str) -> bytes:
    picture = a_composite(size=(256, 256))
    return as_pushed(a_pushed_film(pixels=picture, PatientBirthDate=date))


def test_it_is_analysed_from_what_c_get_brought(hospital: Hospital) -> None:
    film = a_film_born("20230101")

    analysis = analysed(hospital, film)

    assert analysis.status is AnalysisStatus.ANALYSED, analysis.reason
    assert set(analysis.instance_digests) == {instance_digest(film)}


def test_images_of_another_patient_give_no_number(hospital: Hospital) -> None:
    analysis = analysed(hospital, a_film_born("20210704"))

    assert analysis.status is not AnalysisStatus.ANALYSED
    assert analysis.reason is not None and analysis.reason.code == "patient-mismatch"


def test_without_the_extra_it_counts_as_an_archive_that_refuses(
    hospital: Hospital, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cds_service.adapters.dimse.retrieval", None)
    tenant = replace(hospital.tenant, archive_base="dicom://SIGHTLINE@PACS@127.0.0.1:104")

    with pytest.raises(ArchiveRefused, match="install the extra `dimse`"):
        list(archive(hospital.house).instances(tenant, a_study(), Budget()))
