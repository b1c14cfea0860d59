"""What the doors refuse reaches the administrator, through the wiring and the command line."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from pynetdicom import AE
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from cds_service import wiring
from cds_service.adapters.dimse.listener import Caller, DimseListener
from cds_service.app import create_app
from cds_service.cli import main
from cds_service.domain.intake import Door
from tests.intake.conftest import Hospital
from tests.intake.dimse import tidied as tidied
from tests.intake.dimse import wait_until

STRANGER = {"Authorization": "Bearer a-token-that-nobody-made-here"}


@pytest.fixture
def client(hospital: Hospital) -> FlaskClient:
    return create_app(hospital.settings).test_client()


def refused(hospital: Hospital) -> list[list[str]]:
    """Return what the command says of each call: door, reason, and whatever else, oldest first."""
    words = ["intake", "refused", "--data", str(hospital.settings.data)]
    said = CliRunner().invoke(main, words)
    assert said.exit_code == 0, said.output
    return [line.split()[2:] for line in reversed(said.output.splitlines())]


@contextmanager
def listening(hospital: Hospital, *callers: Caller) -> Iterator[DimseListener]:
    listener = wiring.dimse_listener(
        hospital.settings,
        hospital.tenant,
        ("127.0.0.1", 0),
        "SIGHTLINE",
        callers,
        tls=None,
        associations=2,
    )
    thread = Thread(target=listener.run, daemon=True)
    thread.start()
    try:
        yield listener
    finally:
        listener.stop()
        thread.join(60)


def test_a_push_without_a_credential_is_told(hospital: Hospital, client: FlaskClient) -> None:
    hospital.open(Door.STOW_RS)

    answer = client.post("/dicom-web/t-1/studies", headers=STRANGER)

    assert answer.status_code == 401
    assert refused(hospital) == [["stow-rs", "unknown-credential", "127.0.0.1"]]


def test_a_bell_that_nobody_hung_is_told(hospital: Hospital, client: FlaskClient) -> None:
    hospital.open(Door.SUBSCRIPTION)

    answer = client.post("/intake/subscription/guessed-by-somebody", headers=STRANGER)

    assert answer.status_code == 404
    assert refused(hospital) == [["subscription", "unknown-credential", "127.0.0.1"]]


def test_a_calling_ae_title_that_is_not_allowed_is_told(hospital: Hospital) -> None:
    hospital.open(Door.DIMSE)
    stranger = AE("STRANGER")
    stranger.add_requested_context(Verification)
    with listening(hospital, Caller("PACS", "127.0.0.1/32")) as listener:
        association = stranger.associate("127.0.0.1", listener.port, ae_title="SIGHTLINE")
        wait_until(lambda: len(refused(hospital)) == 1 and "dimse" in refused(hospital)[0])

    assert association.is_rejected
    told = ["dimse", "calling-ae-title", "127.0.0.1", "General", "Hospital"]
    assert refused(hospital) == [told]


def test_a_knock_at_a_closed_door_is_told(hospital: Hospital) -> None:
    with listening(hospital, Caller("PACS", "127.0.0.1/32")) as listener:
        socket.create_connection(("127.0.0.1", listener.port), 60).close()
        wait_until(lambda: "dimse" in refused(hospital)[0])

    told = ["dimse", "door-closed", "127.0.0.1", "General", "Hospital"]
    assert refused(hospital) == [told]


def test_doors_that_refused_nothing_say_so(hospital: Hospital) -> None:
    words = ["intake", "refused", "--data", str(hospital.settings.data)]

    assert CliRunner().invoke(main, words).output == "The doors refused no call.\n"
