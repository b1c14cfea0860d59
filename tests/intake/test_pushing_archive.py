"""A real archive pushes: Orthanc by C-STORE and by STOW-RS, up to the result of the study."""

import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa
from werkzeug.serving import make_server

from cds_service import wiring
from cds_service.adapters.ledger import SqlPushCredentials, schema
from cds_service.app import create_app
from cds_service.domain.finding import AnalysisStatus
from cds_service.domain.inbox import CredentialKind
from cds_service.domain.instance_digest import instance_digest
from cds_service.domain.intake import Door
from cds_service.intake.settle_inbox import settle_inbox
from cds_service.usecases.run_inference import run_inference
from tests.intake.conftest import Hospital
from tests.intake.dimse import tidied as tidied
from tests.intake.dimse import wait_until
from tests.pushed import a_pushed_film, as_pushed, files_in
from tests.real.servers import Child, Orthanc, free_port, orthanc
from tests.unit.imaging.dicom import a_composite

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("orthanc")]

TOKEN = "t0ken-of-an-archive-that-pushes-x"
UID = "1.2.840.99999.1"


@contextmanager
def listening(hospital: Hospital, folder: Path) -> Iterator[int]:
    """`sightline dimse` as a process of its own; yields its port."""
    port = free_port()
    environment = {
        "SIGHTLINE_PUBLIC_URL": hospital.settings.public_url,
        "SIGHTLINE_DATA": str(hospital.settings.data),
        "SIGHTLINE_REDIS_URL": hospital.settings.redis_url,
    }
    command = [sys.executable, "-m", "cds_service.cli", "dimse", "--ehr", hospital.tenant.name]
    command += ["--bind", f"127.0.0.1:{port}", "--from", "ORTHANC@127.0.0.1"]
    child = Child(command, folder / "dimse.log", environment)
    try:
        child.wait_until(lambda: _answers(port))
        yield port
        child.process.send_signal(signal.SIGTERM)
        assert child.process.wait(60) == 0, (folder / "dimse.log").read_text()
    finally:
        child.stop()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
    except OSError:
        return False
    return True


@contextmanager
def serving(hospital: Hospital) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, create_app(hospital.settings), threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/dicom-web/{hospital.tenant.id}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def films() -> list[bytes]:
    picture = a_composite(size=(256, 256))
    return [
        as_pushed(a_pushed_film(number, pixels=picture, PatientBirthDate="20230101"))
        for number in (1, 2)
    ]


def admit(hospital: Hospital) -> None:
    """Put the films' patient and study into the EHR."""
    hospital.admit(numberOfInstances=2)
    child = {"id": "p-1", "birthDate": "2023-01-01", "gender": "female"}
    identifier = {"identifier": [{"system": "urn:hospital", "value": "MRN-1"}]}
    hospital.ehr.parts.fhir.update({"resourceType": "Patient"} | child | identifier)


def send(archive: Orthanc, path: str) -> None:
    """Let Orthanc push everything that it has."""
    instances = requests.get(f"{archive.base_url}/instances", timeout=120).json()
    answer = requests.post(f"{archive.base_url}/{path}", json={"Resources": instances}, timeout=120)
    assert answer.ok, answer.text


def job_of(hospital: Hospital) -> str:
    """Settle until the study is asked for, and return its job."""
    settlement = wiring.settlement(hospital.settings)
    found: list[str] = []

    def is_asked() -> bool:
        settle_inbox(settlement)
        with hospital.house.engine.connect() as connection:
            found[:] = connection.execute(sa.select(schema.job.c.id)).scalars()
        return bool(found)

    wait_until(is_asked)
    return found[0]


def assert_is_analysed_and_erased(hospital: Hospital) -> None:
    job_id = job_of(hospital)
    assert len(files_in(hospital.settings.inbox)) == 2

    outcome = run_inference(job_id, "worker", wiring.workbench(hospital.settings))

    assert outcome in {"done", "postponed"}, outcome
    (result,) = hospital.house.results.of_models("t-1", "p-1", [UID])
    assert result.analysis.status is AnalysisStatus.ANALYSED, result.analysis.reason
    # The images that the app will find in the archive are those that were analysed.
    assert set(result.analysis.instance_digests) == set(map(instance_digest, films()))
    settle_inbox(wiring.settlement(hospital.settings))
    assert files_in(hospital.settings.inbox) == []


def test_orthanc_stores_by_dimse_and_the_study_is_analysed_from_what_it_sent(
    hospital: Hospital, tmp_path: Path
) -> None:
    hospital.open(Door.DIMSE)
    admit(hospital)
    with listening(hospital, tmp_path) as port:
        modality = {"sightline": ["SIGHTLINE", "127.0.0.1", port]}
        with orthanc(tmp_path, DicomAet="ORTHANC", DicomModalities=modality) as archive:
            echo = f"{archive.base_url}/modalities/sightline/echo"
            assert requests.post(echo, data="{}", timeout=120).ok
            archive.upload(*films())
            send(archive, "modalities/sightline/store")

        assert_is_analysed_and_erased(hospital)


def test_orthanc_stores_by_stow_and_the_study_is_analysed_from_what_it_sent(
    hospital: Hospital, tmp_path: Path
) -> None:
    hospital.open(Door.STOW_RS)
    digest = sha256(TOKEN.encode()).hexdigest()
    SqlPushCredentials(hospital.house.engine).add("t-1", CredentialKind.TOKEN, digest)
    admit(hospital)
    with serving(hospital) as base:
        server = {"Url": base, "HttpHeaders": {"Authorization": f"Bearer {TOKEN}"}}
        with orthanc(
            tmp_path, DicomWeb={"Enable": True, "Root": "/dicom-web/", "Servers": {"us": server}}
        ) as archive:
            archive.upload(*films())
            send(archive, "dicom-web/servers/us/stow")

        assert_is_analysed_and_erased(hospital)


def test_the_listener_does_not_start_while_its_door_is_closed(
    hospital: Hospital, tmp_path: Path
) -> None:
    with (
        pytest.raises(AssertionError, match="The door dimse is closed"),
        listening(hospital, tmp_path),
    ):
        pass
