"""Archives that are asked: Orthanc by QIDO-RS and by its changes, the Azure DICOM service.

The EHR is the sandbox, over HTTP: it says whose a study is, or that it does not know it yet.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from cds_service import wiring
from cds_service.adapters.ledger import SqlIntakeCursors
from cds_service.domain.intake import Door, Reception
from cds_service.errors import ArchiveFailed, ArchiveRefused
from cds_service.intake.archive_polling import poll_archive
from tests.e2e.running_demo import until
from tests.fakes.ledger import FakeClock
from tests.intake.azure_server import AzureDicom, azure_dicom
from tests.intake.conftest import Hospital, a_study
from tests.real.servers import Orthanc, orthanc
from tests.real.test_orthanc import a_radiograph, as_file
from tests.unit.intake.desk import accession

ASKED, UNKNOWN = Reception.ASKED, Reception.UNKNOWN
NOTHING: Counter[Reception] = Counter()

in_orthanc = pytest.mark.xdist_group("orthanc")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with orthanc(tmp_path_factory.mktemp("orthanc"), StableAge=1) as running:
        yield running


@pytest.fixture
def azure() -> Iterator[AzureDicom]:
    with azure_dicom() as service:
        yield service


@dataclass
class Polled:
    """One door of the hospital, asked again and again."""

    hospital: Hospital
    door: Door

    def poll(self) -> Counter[Reception]:
        house = self.hospital.house
        cursors = SqlIntakeCursors(house.engine)
        feed = wiring.archive_feeds(house)[self.door]
        return poll_archive(self.hospital.tenant, self.hospital.desk, cursors, self.door, feed)

    @property
    def asked(self) -> list[str]:
        return [one.study_uid for one in self.hospital.asked()]


def at(hospital: Hospital, door: Door, feed: str | None = None, **changes: str) -> Polled:
    tenant = replace(hospital.tenant, **changes)  # type: ignore[arg-type]  # texts, all of them
    hospital.house.tenants.change(tenant)
    hospital.open(door, feed)
    return Polled(hospital, door)


def images(count: int = 1, **elements: str) -> list[Dataset]:
    """Return images of one new study, taken today."""
    study, made = generate_uid(), []
    for _ in range(count):
        image = a_radiograph()
        image.StudyInstanceUID = study
        image.StudyDate = f"{datetime.now(UTC):%Y%m%d}"
        for name, value in elements.items():
            setattr(image, name, value)
        made.append(image)
    return made


def in_ehr(hospital: Hospital, uid: str, **changes: object) -> None:
    """Let the EHR hear of a study."""
    people = hospital.ehr.parts.fhir
    people.update({"resourceType": "Patient", "id": "p-1", "birthDate": "2023-01-01"})
    people.update(a_study(uid.rpartition(".")[2][:60], uid, "p-1") | changes)


# --- QIDO-RS ---------------------------------------------------------------------------------


@pytest.mark.real
@in_orthanc
def test_qido_tells_of_a_study_once_it_has_come_to_rest(
    hospital: Hospital, archive: Orthanc
) -> None:
    polled = at(hospital, Door.DICOMWEB_POLLING, archive_base=archive.dicom_web)
    for _ in range(2):  # what earlier tests left there
        polled.poll()
    first, second = images(2)
    uid = str(first.StudyInstanceUID)
    in_ehr(hospital, uid)
    archive.upload(as_file(first))

    still_coming = polled.poll()
    archive.upload(as_file(second))
    counted_again = polled.poll()
    at_rest = polled.poll()
    afterwards = polled.poll()

    assert (still_coming[ASKED], counted_again[ASKED]) == (0, 0)
    assert (at_rest[ASKED], afterwards[ASKED]) == (1, 0)
    assert polled.asked == [uid]


# --- Orthanc's changes -----------------------------------------------------------------------


@pytest.mark.real
@in_orthanc
def test_orthanc_tells_of_a_stable_study_and_the_ehr_of_its_patient(
    hospital: Hospital, archive: Orthanc
) -> None:
    polled = at(hospital, Door.ORTHANC_CHANGES, archive.base_url)
    polled.poll()
    [image] = images()
    uid = str(image.StudyInstanceUID)
    in_ehr(hospital, uid)

    archive.upload(as_file(image))

    assert until(lambda: polled.poll()[ASKED]) == 1
    assert [(one.study_uid, one.patient_id) for one in hospital.asked()] == [(uid, "p-1")]
    assert polled.poll() == NOTHING


@pytest.mark.real
@in_orthanc
def test_what_was_in_orthanc_before_the_door_was_opened_waits_for_a_hook(
    hospital: Hospital, archive: Orthanc
) -> None:
    [image] = images()
    in_ehr(hospital, str(image.StudyInstanceUID))
    archive.upload(as_file(image))
    until(lambda: _is_stable(archive))

    polled = at(hospital, Door.ORTHANC_CHANGES, archive.base_url)

    assert polled.poll() == polled.poll() == NOTHING


@pytest.mark.real
@in_orthanc
def test_a_study_without_its_uid_in_the_ehr_is_found_by_its_accession_number(
    hospital: Hospital, archive: Orthanc
) -> None:
    polled = at(hospital, Door.ORTHANC_CHANGES, archive.base_url)
    polled.poll()
    [image] = images(AccessionNumber="ACC-7")
    uid = str(image.StudyInstanceUID)
    in_ehr(hospital, uid, identifier=[accession("ACC-7")])

    archive.upload(as_file(image))

    assert until(lambda: polled.poll()[ASKED]) == 1
    [study] = hospital.asked()
    assert (study.study_uid, study.accession) == (uid, "ACC-7")


@pytest.mark.real
@in_orthanc
def test_another_database_behind_the_same_address_is_read_from_its_beginning(
    hospital: Hospital, archive: Orthanc, tmp_path: Path
) -> None:
    polled = at(hospital, Door.ORTHANC_CHANGES, archive.base_url)
    archive.upload(*map(as_file, images(3)))
    polled.poll()
    [image] = images()
    in_ehr(hospital, str(image.StudyInstanceUID))
    with orthanc(tmp_path, StableAge=1) as other:
        other.upload(as_file(image))
        polled = at(hospital, Door.ORTHANC_CHANGES, other.base_url)

        assert until(lambda: polled.poll()[ASKED]) == 1


# --- Azure -----------------------------------------------------------------------------------


def test_azure_tells_of_a_study_once_no_more_images_come(
    hospital: Hospital, azure: AzureDicom
) -> None:
    polled = at(hospital, Door.AZURE_CHANGE_FEED, azure.base)
    in_ehr(hospital, "1.2.3")
    azure.store("1.2.3", images=450)

    coming = polled.poll()
    azure.store("1.2.3")
    still_coming = polled.poll()
    at_rest = polled.poll()

    assert (coming, still_coming) == (NOTHING, NOTHING)
    assert at_rest == Counter({ASKED: 1})
    assert polled.poll() == NOTHING
    assert polled.asked == ["1.2.3"]


def test_azure_is_asked_from_the_last_event_on_and_equal_times_are_not_lost(
    hospital: Hospital, azure: AzureDicom
) -> None:
    polled = at(hospital, Door.AZURE_CHANGE_FEED, azure.base)
    moment = datetime.now(UTC)
    for number in (3, 4):
        in_ehr(hospital, f"1.2.{number}")
    azure.store("1.2.3", at=moment)
    polled.poll()
    azure.store("1.2.4", at=moment)

    for _ in range(2):
        polled.poll()

    assert sorted(polled.asked) == ["1.2.3", "1.2.4"]
    assert f"{moment:%Y-%m-%dT%H}" in azure.asked[-1].replace("%3A", ":")


def test_a_change_feed_of_azure_that_starts_over_is_read_on(
    hospital: Hospital, azure: AzureDicom
) -> None:
    polled = at(hospital, Door.AZURE_CHANGE_FEED, azure.base)
    for number in (3, 4):
        in_ehr(hospital, f"1.2.{number}")
    azure.store("1.2.3", images=5)
    polled.poll()
    polled.poll()

    azure.events.clear()  # another service at the same address: it counts from one again
    azure.store("1.2.4")
    for _ in range(2):
        polled.poll()

    assert polled.asked == ["1.2.3", "1.2.4"]
    assert polled.poll() == NOTHING


def test_events_of_azure_whose_times_are_not_in_order_come_to_rest(
    hospital: Hospital, azure: AzureDicom
) -> None:
    polled = at(hospital, Door.AZURE_CHANGE_FEED, azure.base)
    in_ehr(hospital, "1.2.3")
    moment = datetime.now(UTC)
    for seconds in (3, 1, 2, 0):
        azure.store("1.2.3", at=moment + timedelta(seconds=seconds))

    outcomes = [polled.poll() for _ in range(6)]

    assert sum(outcomes, NOTHING) == Counter({ASKED: 1})
    assert outcomes[-1] == NOTHING


def test_azure_s_deleted_studies_are_not_looked_for(hospital: Hospital, azure: AzureDicom) -> None:
    polled = at(hospital, Door.AZURE_CHANGE_FEED, azure.base)
    in_ehr(hospital, "1.2.3")
    azure.log("1.2.3", "create", "deleted")
    azure.log("1.2.3", "delete", "deleted")

    polled.poll()

    assert polled.poll() == NOTHING
    assert polled.asked == []


# --- any of them -----------------------------------------------------------------------------


def test_a_study_that_the_ehr_does_not_know_yet_waits_and_is_taken_then(
    hospital: Hospital, azure: AzureDicom, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock(datetime.now(UTC))
    monkeypatch.setattr("cds_service.wiring.intake.clock", clock)
    polled = at(hospital, Door.AZURE_CHANGE_FEED, azure.base)
    azure.store("1.2.3")
    polled.poll()

    unknown, too_early = polled.poll(), polled.poll()
    in_ehr(hospital, "1.2.3")
    clock.advance(20)
    taken = polled.poll()

    assert (unknown, too_early, taken) == (Counter({UNKNOWN: 1}), NOTHING, Counter({ASKED: 1}))
    assert polled.asked == ["1.2.3"]


@pytest.mark.parametrize(
    ("status", "error"), [(401, ArchiveRefused), (403, ArchiveRefused), (503, ArchiveFailed)]
)
def test_an_archive_that_fails_is_asked_again_from_the_same_place(
    hospital: Hospital, azure: AzureDicom, status: int, error: type[Exception]
) -> None:
    polled = at(hospital, Door.AZURE_CHANGE_FEED, azure.base)
    in_ehr(hospital, "1.2.3")
    azure.store("1.2.3")
    azure.status = status
    with pytest.raises(error):
        polled.poll()
    azure.status = 200

    for _ in range(2):
        polled.poll()

    assert polled.asked == ["1.2.3"]


def test_an_address_that_is_no_orthanc_says_so(hospital: Hospital, azure: AzureDicom) -> None:
    polled = at(hospital, Door.ORTHANC_CHANGES, azure.base)

    with pytest.raises(ArchiveFailed, match="not Orthanc's"):
        polled.poll()


def _is_stable(archive: Orthanc) -> bool:
    """Tell whether Orthanc has said so of the newest study."""
    answer = requests.get(f"{archive.base_url}/changes?last", timeout=60).json()
    return bool(answer["Changes"][0]["ChangeType"].startswith("Stable"))
