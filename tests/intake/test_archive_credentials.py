"""Archives that ask who calls: set by an administrator, then read by all that reads archives.

Orthanc with its usual user and password; the Azure DICOM service with tokens of a token endpoint.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from cds_service import wiring
from cds_service.adapters.ledger import SqlIntakeCursors, schema
from cds_service.cli import main
from cds_service.domain.finding import AnalysisStatus
from cds_service.domain.instance_digest import instance_digest
from cds_service.domain.intake import Clue, Door, Reception
from cds_service.errors import ArchiveRefused
from cds_service.intake.archive_polling import poll_archive
from cds_service.intake.receive import receive
from cds_service.usecases.ports import Budget
from cds_service.usecases.run_inference import run_inference
from cds_service.wiring.images import archive, study_index
from tests.builders import a_study
from tests.contract.test_archive_auth import TokenEndpoint
from tests.e2e.running_demo import until
from tests.intake.azure_server import azure_dicom
from tests.intake.conftest import Hospital
from tests.intake.test_archive_doors import in_ehr
from tests.pushed import a_pushed_film
from tests.real.servers import Orthanc, orthanc
from tests.unit.imaging.dicom import a_composite, as_file
from tests.web_app.house import listening

USER, PASSWORD = "sightline", "correct: horse"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    folder = tmp_path_factory.mktemp("orthanc")
    with orthanc(folder, (USER, PASSWORD), StableAge=1) as running:
        yield running


def sightline(hospital: Hospital, *words: str, typed: str | None = None) -> Result:
    data = str(hospital.settings.data)
    result = CliRunner().invoke(main, [*words, "--data", data], input=typed)
    hospital.tenant = hospital.house.tenants.get(hospital.tenant.id)
    return result


def let_in(hospital: Hospital, base: str, password: str = PASSWORD) -> None:
    words = ("archive", "credential", hospital.tenant.name, base, "--basic", USER)
    result = sightline(hospital, *words, typed=password)
    assert result.exit_code == 0, result.output


def at(hospital: Hospital, base: str) -> None:
    hospital.tenant = replace(hospital.tenant, archive_base=base)
    hospital.house.tenants.change(hospital.tenant)


def a_film(uid: str, **elements: str) -> bytes:
    picture = a_composite(size=(256, 256))
    today = f"{datetime.now(UTC):%Y%m%d}"
    film = a_pushed_film(
        pixels=picture, StudyInstanceUID=uid, StudyDate=today, PatientBirthDate="20230101"
    )
    for name, value in elements.items():
        setattr(film, name, value)
    film.SeriesInstanceUID, film.SOPInstanceUID = f"{uid}.1", f"{uid}.1.1"
    film.file_meta.MediaStorageSOPInstanceUID = film.SOPInstanceUID
    return as_file(film)


@pytest.mark.parametrize("password", [None, "another"])
@pytest.mark.real
@pytest.mark.xdist_group("orthanc")
def test_without_the_password_nothing_is_read_and_it_is_said_what_to_do(
    hospital: Hospital, guarded: Orthanc, password: str | None
) -> None:
    at(hospital, guarded.dicom_web)
    if password:
        let_in(hospital, guarded.dicom_web, password)
    asked = archive(hospital.house)

    for read in (
        lambda: list(asked.instances(hospital.tenant, a_study(archive_url=None), Budget())),
        lambda: asked.series(hospital.tenant, a_study(archive_url=None)),
        lambda: study_index(hospital.house, timeout_s=60).of_accession(hospital.tenant, "A-1"),
    ):
        with pytest.raises(ArchiveRefused, match="register its credentials") as raised:
            read()
        assert "another" not in str(raised.value)


@pytest.mark.real
@pytest.mark.xdist_group("orthanc")
def test_a_worker_analyses_what_the_password_lets_it_read(
    hospital: Hospital, guarded: Orthanc
) -> None:
    at(hospital, guarded.dicom_web)
    let_in(hospital, guarded.dicom_web)
    uid = hospital.admit(77001)
    film = a_film(uid)
    guarded.upload(film)
    assert receive(Clue(uid), hospital.tenant, hospital.desk) is Reception.ASKED
    with hospital.house.engine.connect() as connection:
        job_id = connection.execute(sa.select(schema.job.c.id)).scalar_one()

    run_inference(job_id, "worker", wiring.workbench(hospital.settings))

    (result,) = hospital.house.results.of_models("t-1", "p-1", [uid])
    assert result.analysis.status is AnalysisStatus.ANALYSED, result.analysis.reason
    assert set(result.analysis.instance_digests) == {instance_digest(film)}


@pytest.mark.real
@pytest.mark.xdist_group("orthanc")
def test_series_are_listed_studies_found_by_number_and_a_picture_fetched_for_the_app(
    hospital: Hospital, guarded: Orthanc
) -> None:
    at(hospital, guarded.dicom_web)
    let_in(hospital, guarded.dicom_web)
    uid = "1.2.840.99999.77003"
    film = a_film(uid, AccessionNumber="A-77")
    guarded.upload(film)

    listed = archive(hospital.house).series(hospital.tenant, a_study(study_uid=uid))
    picture = archive(hospital.house).instance(
        hospital.tenant, a_study(study_uid=uid), f"{uid}.1", f"{uid}.1.1"
    )
    index = study_index(hospital.house, timeout_s=60)
    found = index.of_accession(hospital.tenant, "A-77")

    assert [one.uid for one in listed] == [f"{uid}.1"]
    assert [one.study_uid for one in found] == [uid] and picture == film


@pytest.mark.real
@pytest.mark.xdist_group("orthanc")
@pytest.mark.parametrize(
    ("door", "uid"),
    [
        (Door.ORTHANC_CHANGES, "1.2.840.99999.77004"),
        (Door.DICOMWEB_POLLING, "1.2.840.99999.77005"),
    ],
)
def test_what_was_set_for_dicomweb_is_good_for_orthanc_s_changes_too(
    hospital: Hospital, guarded: Orthanc, door: Door, uid: str
) -> None:
    at(hospital, guarded.dicom_web)
    hospital.open(door, guarded.base_url)
    let_in(hospital, guarded.dicom_web)
    in_ehr(hospital, uid)

    def polled() -> int:
        cursors = SqlIntakeCursors(hospital.house.engine)
        feed = wiring.archive_feeds(hospital.house)[door]
        return poll_archive(hospital.tenant, hospital.desk, cursors, door, feed)[Reception.ASKED]

    polled()
    guarded.upload(a_film(uid))

    assert until(polled) == 1
    assert [one.study_uid for one in hospital.asked()] == [uid]


@pytest.mark.real
@pytest.mark.xdist_group("orthanc")
def test_a_dry_run_of_the_routing_reads_with_it(hospital: Hospital, guarded: Orthanc) -> None:
    at(hospital, guarded.dicom_web)
    uid = hospital.admit(77002)
    guarded.upload(a_film(uid))

    refused = sightline(hospital, "route", uid, "--ehr", hospital.tenant.name)
    let_in(hospital, guarded.dicom_web)
    result = sightline(hospital, "route", uid, "--ehr", hospital.tenant.name)

    assert refused.exit_code == 2 and "sightline archive credential" in refused.output
    assert result.exit_code == 0, result.output


def test_the_change_feed_of_azure_is_read_with_tokens_of_its_endpoint(hospital: Hospital) -> None:
    endpoint = TokenEndpoint(client=("client-1", "s3cr~t+1"))
    scope = "https://dicom.healthcareapis.azure.com/.default"
    with azure_dicom() as azure, listening(endpoint.app()) as port:
        hospital.open(Door.AZURE_CHANGE_FEED, azure.base)
        token_url = f"http://127.0.0.1:{port}/token"
        client = ("--client-credentials", token_url, "client-1", "--scope", scope)
        words = ("archive", "credential", hospital.tenant.name, azure.base, *client)
        assert sightline(hospital, *words, typed="s3cr~t+1\n").exit_code == 0
        azure.accepts = "Bearer t-1"
        azure.store("1.2.3")
        in_ehr(hospital, "1.2.3")
        feed = wiring.archive_feeds(hospital.house)[Door.AZURE_CHANGE_FEED]

        heard = feed.read(hospital.tenant, {})
        at_rest = feed.read(hospital.tenant, heard.place)

    assert [one.study_uid for one in at_rest.clues] == ["1.2.3"]
    assert endpoint.asked == [{"grant_type": "client_credentials", "scope": scope}]
