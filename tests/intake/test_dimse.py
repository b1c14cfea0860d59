"""The DIMSE door, spoken to by pynetdicom, by Orthanc and by those that mean harm.

The cases of pynetdicom#1086 (path traversal, PDU length, decompression bomb) are here by name.
"""

import logging
import shutil
import ssl
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
)
from pynetdicom.dsutils import encode
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import (
    Verification,
)
from sqlalchemy.engine import Engine

from cds_service.adapters.dimse import messages
from cds_service.adapters.dimse.connection import PDU_BYTES
from cds_service.adapters.dimse.listener import Caller
from cds_service.adapters.ledger import upgrade
from cds_service.cli_push import server_tls
from cds_service.domain.inbox import Failure, Quota
from cds_service.domain.refusal import Refusal
from cds_service.intake.inbox import Inbox
from tests.contract.ledgers import opened, sqlite_url
from tests.intake.dimse import (
    Listening,
    is_ended,
    left_in,
    listening,
    p_data,
    wait_until,
)
from tests.intake.dimse import tidied as tidied
from tests.pushed import SERIES_UID, a_pushed_film, an_inbox, an_index, files_in

FILM = DigitalXRayImageStorageForPresentation


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "inbox"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with opened(sqlite_url(tmp_path)) as engine:
        upgrade(engine)
        yield engine


@pytest.fixture
def inbox(engine: Engine, folder: Path) -> Inbox:
    return an_inbox(engine, folder, an_index(engine))


@pytest.fixture
def door(inbox: Inbox) -> Iterator[Listening]:
    with listening(inbox) as running:
        yield running


def kept(folder: Path) -> list[Path]:
    return [path for path in files_in(folder) if path.suffix != ".part"]


# --- what is taken ------------------------------------------------------------------------------


def test_a_caller_is_answered_an_echo(door: Listening) -> None:
    association = door.call(build_context(Verification))

    status = association.send_c_echo().Status
    association.release()

    assert status == 0x0000


def test_a_film_is_kept_as_a_file_with_the_same_pixels(door: Listening, folder: Path) -> None:
    film = a_pushed_film()

    assert door.store(film) == 0x0000

    (path,) = kept(folder)
    stored = dcmread(path)
    assert stored.SOPInstanceUID == film.SOPInstanceUID and stored.PixelData == film.PixelData
    assert path.read_bytes()[:132] == bytes(128) + b"DICM"
    assert stored.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert left_in(folder) == []


def test_many_films_come_on_one_association_and_on_several_at_once(
    door: Listening, folder: Path
) -> None:
    statuses: list[int] = []

    def send(first: int) -> None:
        association = door.call()
        for number in range(first, first + 5):
            statuses.append(int(association.send_c_store(a_pushed_film(number)).Status))
        association.release()

    senders = [threading.Thread(target=send, args=(first,)) for first in (1, 11, 21)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()

    assert statuses == [0x0000] * 15 and len(kept(folder)) == 15


def test_a_compressed_film_is_kept_in_its_own_transfer_syntax(
    door: Listening, folder: Path
) -> None:
    film = a_pushed_film()
    film.file_meta.TransferSyntaxUID = JPEG2000Lossless
    film.PixelData = (
        b"\xfe\xff\x00\xe0\0\0\0\0\xfe\xff\x00\xe0\x04\0\0\0abcd\xfe\xff\xdd\xe0\0\0\0\0"
    )
    film["PixelData"].is_undefined_length = True
    film["PixelData"].VR = "OB"

    assert door.store(film, build_context(FILM, JPEG2000Lossless)) == 0x0000

    (path,) = kept(folder)
    assert dcmread(path).file_meta.TransferSyntaxUID == JPEG2000Lossless


def test_the_same_film_again_is_taken_and_another_under_its_name_is_not(
    door: Listening, folder: Path
) -> None:
    assert [door.store(a_pushed_film()) for _ in range(2)] == [0x0000, 0x0000]
    assert door.store(a_pushed_film(PatientID="SOMEBODY-ELSE")) == Failure.PROCESSING

    assert len(kept(folder)) == 1


def test_a_film_is_on_disk_while_it_still_comes(door: Listening, folder: Path) -> None:
    with door.associated() as connection:
        connection.sendall(p_data(b"\x03" + a_store_command()))
        for _ in range(100):
            connection.sendall(p_data(b"\x00" + bytes(10_000)))

        wait_until(lambda: sum(path.stat().st_size for path in left_in(folder)) > 500_000)

    wait_until(lambda: left_in(folder) == [])


# --- what is refused ----------------------------------------------------------------------------


def a_store_command(sop_uid: str = f"{SERIES_UID}.1", **changes: object) -> bytes:
    command = Dataset()
    command.CommandGroupLength = 0
    command.AffectedSOPClassUID = FILM
    command.CommandField = 0x0001
    command.MessageID = 1
    command.Priority = 2
    command.CommandDataSetType = 0x0001
    command.AffectedSOPInstanceUID = sop_uid
    for keyword, value in changes.items():
        setattr(command, keyword, value)
    encoded = encode(command, True, True)
    assert encoded is not None
    return encoded


def a_film_as_sent(**changes: object) -> bytes:
    film = a_pushed_film(**changes)
    encoded = encode(film, False, True)
    assert encoded is not None
    return encoded


def status_after(door: Listening, command: bytes, data: bytes) -> int:
    """Send a C-STORE as bare bytes and read the status of its answer."""
    with door.associated() as connection:
        connection.sendall(p_data(b"\x03" + command))
        for at in range(0, len(data), 16_000):
            last = b"\x02" if at + 16_000 >= len(data) else b"\x00"
            connection.sendall(p_data(last + data[at : at + 16_000]))
        answer = b""
        status = struct.pack("<HHI", 0x0000, 0x0900, 2)
        while len(answer.partition(status)[2]) < 2:
            piece = connection.recv(65536)
            assert piece, "no answer"
            answer += piece
        return int.from_bytes(answer.partition(status)[2][:2], "little")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name", ["../../../tmp/evil", "/etc/passwd", "..", "1.2.3/../../x", "1.2\x00.3", "a" * 64]
)
def test_1086_path_traversal_an_identifier_names_no_file(
    door: Listening, folder: Path, name: str
) -> None:
    before = set(folder.parent.rglob("*")) if folder.parent.exists() else set()

    in_command = status_after(door, a_store_command(name), a_film_as_sent())
    in_data = status_after(door, a_store_command(), a_film_as_sent(SOPInstanceUID=name))

    assert {in_command, in_data} <= {Failure.NOT_UNDERSTOOD, Failure.MISMATCH}
    assert kept(folder) == left_in(folder) == []
    new = {path for path in folder.parent.rglob("*") if folder not in (path, *path.parents)}
    assert {path.name for path in new - before} <= {"ledger.sqlite-wal", "ledger.sqlite-shm"}


@pytest.mark.parametrize("length", [PDU_BYTES + 1, 0x7FFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize("kind", [0x01, 0x04])
def test_1086_pdu_length_a_pdu_longer_than_agreed_ends_the_connection_unread(
    door: Listening, kind: int, length: int
) -> None:
    with door.connected() as connection:
        connection.sendall(struct.pack(">BBL", kind, 0, length) + bytes(1000))

        assert is_ended(connection)
    assert door.store(a_pushed_film()) == 0x0000


def test_1086_pdu_length_also_within_an_association(door: Listening, folder: Path) -> None:
    with door.associated() as connection:
        connection.sendall(p_data(b"\x03" + a_store_command()))
        connection.sendall(struct.pack(">BBL", 0x04, 0, 0xFFFFFFF0) + bytes(1000))

        assert is_ended(connection)
    wait_until(lambda: left_in(folder) == [])


@pytest.mark.parametrize("syntax", [str(DeflatedExplicitVRLittleEndian), "1.2.840.10008.1.2.8.1"])
def test_1086_decompression_bomb_deflated_syntaxes_are_not_accepted(
    door: Listening, syntax: str
) -> None:
    association = door.call(build_context(FILM, syntax))

    assert not association.is_established
    both = door.call(build_context(FILM, syntax), build_context(FILM, ExplicitVRLittleEndian))
    accepted = [str(one.transfer_syntax[0]) for one in both.accepted_contexts]
    both.release()
    assert accepted == [str(ExplicitVRLittleEndian)]


def test_a_data_set_without_an_end_is_cut_off(
    door: Listening, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(messages, "DATA_SET_LIMIT", 1_000_000)

    with door.associated() as connection:
        connection.sendall(p_data(b"\x03" + a_store_command()))
        with pytest.raises(OSError):
            for _ in range(100_000):
                connection.sendall(p_data(b"\x00" + bytes(16_000)))
    wait_until(lambda: left_in(folder) == [])


@pytest.mark.parametrize(
    "fragments",
    [
        [b"\x01" + bytes(16_000)] * 3,  # a command without an end
        [b"\x02" + bytes(100)],  # data that no command announced
        [b"\x03" + b"\xff" * 100],  # no command at all
        [b"\x03" + bytes(8)],
    ],
    ids=["long command", "data first", "noise", "zeros"],
)
def test_a_message_that_is_none_ends_the_association(
    door: Listening, fragments: list[bytes]
) -> None:
    with door.associated() as connection:
        for fragment in fragments:
            connection.sendall(p_data(fragment))

        assert is_ended(connection)
    assert door.store(a_pushed_film()) == 0x0000


@pytest.mark.parametrize("field", [0x0020, 0x0010, 0x0021, 0x0100, 0x0130, 0x0140, 0x0FFF])
def test_no_service_but_storing_and_verifying_is_spoken(door: Listening, field: int) -> None:
    """C-FIND, C-GET, C-MOVE, N-EVENT-REPORT, N-ACTION, N-CREATE and C-CANCEL."""
    command = a_store_command(CommandField=field, MessageIDBeingRespondedTo=1)
    with door.associated() as connection:
        connection.sendall(p_data(b"\x03" + command))

        assert is_ended(connection)


def test_data_in_another_context_than_its_command_ends_the_association(door: Listening) -> None:
    with door.associated() as connection:
        connection.sendall(p_data(b"\x03" + a_store_command()))
        connection.sendall(p_data(b"\x00" + bytes(100), context_id=3))

        assert is_ended(connection)


def test_a_context_that_was_not_accepted_stores_nothing(door: Listening, folder: Path) -> None:
    with door.associated() as connection:
        connection.sendall(p_data(b"\x03" + a_store_command(), context_id=77))

        assert is_ended(connection)
    assert files_in(folder) == []


def test_an_event_out_of_turn_ends_one_association_and_prints_no_traceback(
    door: Listening, monkeypatch: pytest.MonkeyPatch
) -> None:
    printed: list[object] = []
    monkeypatch.setattr(threading, "excepthook", printed.append)
    with door.associated() as connection:
        [association] = door.listener._server.active_associations
        association.dul.event_queue.put("Evt14")  # as a race between two aborts leaves it

        assert is_ended(connection)
        wait_until(lambda: not association.dul.is_alive())

    assert printed == []
    assert door.store(a_pushed_film()) == 0x0000


def test_commands_are_not_piled_up_without_waiting_for_answers(door: Listening) -> None:
    echo = p_data(b"\x03" + a_store_command(CommandField=0x0030, CommandDataSetType=0x0101))
    with door.associated() as connection:
        try:
            for _ in range(200):
                connection.sendall(echo * 100)
            ended = is_ended_after_answers(connection)
        except OSError:
            ended = True

        assert ended


def is_ended_after_answers(connection: object) -> bool:
    try:
        while connection.recv(65536):  # type: ignore[attr-defined]
            pass
    except ConnectionError:
        pass
    return True


def test_an_instance_other_than_announced_is_refused(door: Listening, folder: Path) -> None:
    status = status_after(door, a_store_command(f"{SERIES_UID}.9"), a_film_as_sent())

    assert status == Failure.MISMATCH and kept(folder) == []


def test_a_data_set_that_is_none_is_not_understood(door: Listening, folder: Path) -> None:
    assert status_after(door, a_store_command(), b"no data set" * 50) == Failure.NOT_UNDERSTOOD
    assert kept(folder) == left_in(folder) == []


def test_a_full_inbox_answers_out_of_resources(inbox: Inbox, folder: Path) -> None:
    full = replace(inbox, quota=Quota(10**9, instances=1))
    with listening(full) as door:
        assert door.store(a_pushed_film(1)) == 0x0000
        assert door.store(a_pushed_film(2)) == Failure.OUT_OF_RESOURCES

    assert len(kept(folder)) == 1


def test_an_instance_larger_than_the_room_answers_out_of_resources(
    inbox: Inbox, folder: Path
) -> None:
    small = replace(inbox, quota=Quota(10**9, 10, instance_bytes=1000))
    with listening(small) as door:
        assert door.store(a_pushed_film()) == Failure.OUT_OF_RESOURCES

    assert files_in(folder) == []


def test_an_association_that_breaks_leaves_no_file(door: Listening, folder: Path) -> None:
    with door.associated() as connection:
        connection.sendall(p_data(b"\x03" + a_store_command()))
        connection.sendall(p_data(b"\x00" + bytes(16_000)))
        wait_until(lambda: len(left_in(folder)) == 1)

    wait_until(lambda: left_in(folder) == [])


# --- who may call -------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [{"as_": "STRANGER"}, {"called": "ANOTHER"}])
def test_an_ae_title_that_is_not_known_is_rejected(door: Listening, names: dict[str, str]) -> None:
    association = door.call(**names)

    assert association.is_rejected and not association.is_established


def test_an_ae_title_counts_only_from_its_own_address(inbox: Inbox) -> None:
    with listening(inbox, Caller("PACS", "10.9.9.9/32"), Caller("OTHER", "127.0.0.1/32")) as door:
        assert door.call(as_="PACS").is_rejected
        other = door.call(as_="OTHER")
        assert other.is_established
        other.release()


def test_an_address_that_is_not_known_is_hung_up_on_before_it_speaks(inbox: Inbox) -> None:
    with listening(inbox, Caller("PACS", "10.9.9.0/24")) as door, door.connected() as connection:
        assert is_ended(connection)


def test_a_closed_door_lets_nobody_connect(door: Listening) -> None:
    door.is_open[0] = False

    with door.connected() as connection:
        assert is_ended(connection)


def test_more_associations_than_allowed_are_rejected_and_more_connections_hung_up_on(
    inbox: Inbox,
) -> None:
    with listening(inbox, associations=1) as door:
        first = door.call()
        assert first.is_established

        second = door.call()
        with door.connected(), door.connected(), door.connected() as last:
            assert is_ended(last)
        first.release()

        assert second.is_rejected and not second.is_established


def test_a_caller_that_says_nothing_is_hung_up_on(inbox: Inbox) -> None:
    with listening(inbox, idle_s=0.2) as door, door.connected() as connection:
        assert is_ended(connection)


def test_an_association_that_goes_silent_is_aborted(inbox: Inbox) -> None:
    with listening(inbox, idle_s=0.5) as door, door.associated() as connection:
        assert is_ended(connection)


def test_a_pdu_that_drips_is_given_up(inbox: Inbox) -> None:
    with listening(inbox, pdu_s=0.3) as door, door.connected() as connection:
        connection.sendall(struct.pack(">BBL", 0x01, 0, 1000) + b"x")

        assert is_ended(connection)


# --- TLS ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an authority's certificate and key, and those of an archive that it issued."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    issuer = ("-CA", str(folder / "cert.pem"), "-CAkey", str(folder / "key.pem"))
    for prefix, name, issued in (("", "localhost", ()), ("archive-", "archive", issuer)):
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-keyout", str(folder / f"{prefix}key.pem")),
                *("-out", str(folder / f"{prefix}cert.pem"), "-subj", f"/CN={name}", *issued),
            ],
            check=True,
            capture_output=True,
        )
    return folder


def server_context(authority: Path, clients: str = "cert.pem") -> ssl.SSLContext:
    context = server_tls(authority / "cert.pem", authority / "key.pem", authority / clients)
    assert context is not None
    return context


def client_context(authority: Path, *, shows: bool, prefix: str = "") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(authority / "cert.pem")
    if shows:
        context.load_cert_chain(authority / f"{prefix}cert.pem", authority / f"{prefix}key.pem")
    return context


def test_over_tls_a_film_is_taken_from_a_client_that_shows_its_certificate(
    inbox: Inbox, authority: Path, folder: Path
) -> None:
    with listening(inbox, tls=server_context(authority)) as door:
        association = door.call(tls=client_context(authority, shows=True))
        status = association.send_c_store(a_pushed_film()).Status
        association.release()

        assert status == 0x0000 and len(kept(folder)) == 1


@pytest.mark.parametrize("clients", ["cert.pem", "archive-cert.pem"])
def test_over_tls_a_client_is_known_by_its_authority_or_by_its_certificate_alone(
    inbox: Inbox, authority: Path, clients: str
) -> None:
    with listening(inbox, tls=server_context(authority, clients)) as door:
        association = door.call(tls=client_context(authority, shows=True, prefix="archive-"))
        assert association.is_established
        association.release()


def test_over_tls_the_certificate_of_another_of_the_same_authority_is_not_enough(
    inbox: Inbox, authority: Path
) -> None:
    with listening(inbox, tls=server_context(authority, "archive-cert.pem")) as door:
        assert not door.call(tls=client_context(authority, shows=True)).is_established


def test_over_tls_nobody_else_is_heard_and_a_silent_one_keeps_nobody_waiting(
    inbox: Inbox, authority: Path
) -> None:
    with listening(inbox, tls=server_context(authority)) as door, door.connected():
        assert not door.call().is_established
        assert not door.call(tls=client_context(authority, shows=False)).is_established
        welcome = door.call(tls=client_context(authority, shows=True))
        assert welcome.is_established
        welcome.release()


# --- what the administrator is told -------------------------------------------------------------


class Told(list[tuple[Refusal, str]]):
    """Takes what the listener tells of refused calls."""

    def __call__(self, why: Refusal, where: str) -> None:
        self.append((why, where))

    def wait_for(self, *reasons: Refusal) -> None:
        wait_until(lambda: len(self) >= len(reasons))
        assert sorted(self) == sorted((why, "127.0.0.1") for why in reasons)


def test_t20_who_is_turned_away_is_told_with_the_reason(inbox: Inbox) -> None:
    told = Told()
    with listening(inbox, on_refused=told) as door:
        door.call(as_="STRANGER")
        door.call(called="ANOTHER")
        door.is_open[0] = False
        door.call()

        told.wait_for(Refusal.CALLING_TITLE, Refusal.CALLED_TITLE, Refusal.CLOSED)


def test_an_unknown_address_is_told(inbox: Inbox) -> None:
    told = Told()
    with listening(inbox, Caller("PACS", "10.0.0.0/8"), on_refused=told) as door:
        door.call()

        told.wait_for(Refusal.UNKNOWN_ADDRESS)


def test_one_association_too_many_is_told(inbox: Inbox) -> None:
    told = Told()
    with listening(inbox, on_refused=told, associations=1) as door:
        first = door.call()
        assert not door.call().is_established

        told.wait_for(Refusal.TOO_OFTEN)
        first.release()


def test_a_film_for_which_there_is_no_room_is_told(inbox: Inbox) -> None:
    told = Told()
    with listening(replace(inbox, quota=Quota(1_000_000, 0)), on_refused=told) as door:
        assert door.store(a_pushed_film()) == Failure.OUT_OF_RESOURCES

        told.wait_for(Refusal.FULL)


def test_a_client_without_its_certificate_is_told(inbox: Inbox, authority: Path) -> None:
    told = Told()
    with listening(inbox, tls=server_context(authority), on_refused=told) as door:
        assert not door.call(tls=client_context(authority, shows=False)).is_established

        told.wait_for(Refusal.UNKNOWN_CREDENTIAL)


def test_a_film_that_is_taken_is_nothing_to_tell(inbox: Inbox, folder: Path) -> None:
    told = Told()
    with listening(inbox, on_refused=told) as door:
        assert door.store(a_pushed_film()) == 0x0000

    assert told == [] and len(kept(folder)) == 1


# --- what is written down -----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")
def test_nothing_about_the_patient_or_the_images_is_logged(
    door: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    # pydicom's own lines quote values; every process of ours silences them (telemetry).
    caplog.set_level(logging.CRITICAL, "pydicom")
    with caplog.at_level(logging.DEBUG):
        door.store(a_pushed_film(PatientName="Secret^Person", PatientID="MRN-SECRET"))
        hostile = b"../../../MRN-SECRET"  # as long as the identifier that it replaces
        named, data = a_store_command(), a_film_as_sent()
        status_after(door, named.replace(f"{SERIES_UID}.1".encode(), hostile), data)
        status_after(door, named, data.replace(f"{SERIES_UID}.1".encode(), hostile))

    assert not [word for word in ("SECRET", "Secret", SERIES_UID) if word in caplog.text]
