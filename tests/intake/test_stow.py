"""The STOW-RS door over HTTP: what is taken, what is refused with which code, and for whom."""

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from hashlib import sha256
from http.client import HTTPConnection
from pathlib import Path
from threading import Semaphore
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from dicomweb_client import DICOMwebClient
from flask import Flask
from pydicom.uid import DeflatedExplicitVRLittleEndian
from sqlalchemy.engine import Engine
from werkzeug.serving import make_server

from cds_service.adapters.ledger import SqlAuditLog, SqlPushCredentials, SqlTenants, upgrade
from cds_service.adapters.proxy_certificate import certificate_digest
from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.inbox import CredentialKind, Failure, Quota
from cds_service.domain.intake import Door
from cds_service.intake.refusals import Refusals
from cds_service.web import services, stow
from cds_service.web.stow import UPLOADS, StowDoor
from tests.builders import a_tenant
from tests.contract.ledgers import opened, sqlite_url
from tests.pushed import (
    SERIES_UID,
    STUDY_UID,
    a_pushed_film,
    an_inbox,
    an_index,
    as_pushed,
    files_in,
)

TOKEN = "t0ken-of-an-archive-that-pushes-x"
BOUNDARY = "b0und"
CONTENT_TYPE = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


def multipart(*instances: bytes, content_type: str = "application/dicom") -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: {content_type}\r\n\r\n".encode()
    return b"".join(head + one + b"\r\n" for one in instances) + f"--{BOUNDARY}--\r\n".encode()


@dataclass
class Archive:
    """An archive that pushes to a running Sightline."""

    base: str
    door: StowDoor
    folder: Path

    def push(
        self,
        body: Any,
        *,
        at: str = "t-1/studies",
        token: str | None = TOKEN,
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        sent = {"Content-Type": CONTENT_TYPE} | (headers or {})
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        return requests.post(f"{self.base}/dicom-web/{at}", data=body, headers=sent, timeout=120)

    @property
    def kept(self) -> list[Path]:
        return files_in(self.folder)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with opened(sqlite_url(tmp_path)) as engine:
        upgrade(engine)
        tenants = SqlTenants(engine)
        tenants.add(a_tenant())
        tenants.set_door("t-1", Door.STOW_RS, is_open=True)
        digest = sha256(TOKEN.encode()).hexdigest()
        SqlPushCredentials(engine).add("t-1", CredentialKind.TOKEN, digest)
        yield engine


@pytest.fixture
def door(engine: Engine, tmp_path: Path) -> StowDoor:
    return StowDoor(
        inbox=an_inbox(engine, tmp_path / "inbox", an_index(engine)),
        tenant_of=SqlPushCredentials(engine).tenant_of,
        certificate_digest=None,
        certificate_header="none",
        body_limit_bytes=10_000_000,
        turns=Semaphore(UPLOADS),
        refused=partial(
            Refusals(SqlAuditLog(engine), lambda: datetime.now(UTC)).note, Door.STOW_RS
        ),
    )


@contextmanager
def serving(door: StowDoor, folder: Path) -> Iterator[Archive]:
    app = Flask("sightline")
    app.extensions[stow.EXTENSION] = door
    app.extensions[services.EXTENSION] = SimpleNamespace(public_url="http://127.0.0.1:9")
    app.register_blueprint(stow.blueprint)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield Archive(f"http://127.0.0.1:{server.server_port}", door, folder / "inbox")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def archive(door: StowDoor, tmp_path: Path) -> Iterator[Archive]:
    with serving(door, tmp_path) as running:
        yield running


def uids_in(answer: requests.Response, sequence: str) -> list[str]:
    items = answer.json().get(sequence, {}).get("Value", [])
    return [item["00081155"]["Value"][0] for item in items]


def reasons_in(answer: requests.Response, sequence: str) -> list[int]:
    items = answer.json().get(sequence, {}).get("Value", [])
    return [item["00081197"]["Value"][0] for item in items]


FAILED, STORED, OTHERS = "00081198", "00081199", "0008119A"
FILMS = [as_pushed(a_pushed_film(number)) for number in (1, 2)]


# --- what is taken ------------------------------------------------------------------------------


def test_what_is_taken_is_named_in_the_answer_and_lies_on_disk(archive: Archive) -> None:
    answer = archive.push(multipart(*FILMS))

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/dicom+json"
    assert uids_in(answer, STORED) == [f"{SERIES_UID}.1", f"{SERIES_UID}.2"]
    assert sorted(path.read_bytes() for path in archive.kept) == sorted(FILMS)


def test_a_body_of_unknown_length_is_read_as_it_comes(archive: Archive) -> None:
    body = multipart(*FILMS)

    answer = archive.push(in_pieces(body))

    assert answer.status_code == 200 and len(archive.kept) == 2


@pytest.mark.parametrize(("length", "status"), [(73, 200), (201, 400)])
def test_a_boundary_may_be_as_long_as_orthanc_makes_it_and_not_much_longer(
    archive: Archive, length: int, status: int
) -> None:
    boundary = "b" * length
    headers = {"Content-Type": CONTENT_TYPE.replace(BOUNDARY, boundary)}
    body = multipart(FILMS[0]).replace(BOUNDARY.encode(), boundary.encode())

    assert archive.push(body, headers=headers).status_code == status


def test_an_ordinary_client_of_dicomweb_can_push(archive: Archive) -> None:
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {TOKEN}"
    client = DICOMwebClient(f"{archive.base}/dicom-web/t-1", session=session)
    film = a_pushed_film()
    film.preamble = bytes(128)

    said = client.store_instances([film])

    assert said.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == film.SOPInstanceUID
    assert len(archive.kept) == 1


def test_the_same_push_again_is_the_same_answer(archive: Archive) -> None:
    first, second = archive.push(multipart(FILMS[0])), archive.push(multipart(FILMS[0]))

    assert (first.status_code, first.json()) == (second.status_code, second.json())
    assert len(archive.kept) == 1


# --- what is refused ----------------------------------------------------------------------------


def test_each_failure_has_its_reason_and_does_not_stop_the_others(archive: Archive) -> None:
    deflated = a_pushed_film(3)
    deflated.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    other_study = as_pushed(a_pushed_film(4, StudyInstanceUID="1.2.3"))
    parts = [FILMS[0], as_pushed(deflated), other_study, b"not DICOM"]

    answer = archive.push(multipart(*parts), at=f"t-1/studies/{STUDY_UID}")

    assert answer.status_code == 202
    assert uids_in(answer, STORED) == [f"{SERIES_UID}.1"]
    assert uids_in(answer, FAILED) == [f"{SERIES_UID}.4"]
    assert reasons_in(answer, FAILED) == [Failure.MISMATCH]
    assert reasons_in(answer, OTHERS) == [Failure.TRANSFER_SYNTAX, Failure.NOT_UNDERSTOOD]
    assert len(archive.kept) == 1


def test_a_push_of_which_nothing_is_taken_is_a_conflict(archive: Archive) -> None:
    answer = archive.push(multipart(b"not DICOM"))

    assert answer.status_code == 409 and reasons_in(answer, OTHERS) == [Failure.NOT_UNDERSTOOD]


def test_a_full_inbox_answers_507_or_what_it_still_took(door: StowDoor, tmp_path: Path) -> None:
    full = replace(door.inbox, quota=Quota(10**9, instances=1))
    with serving(replace(door, inbox=full), tmp_path) as archive:
        partly = archive.push(multipart(*FILMS))
        nothing = archive.push(multipart(FILMS[1]))

        assert partly.status_code == 202 and uids_in(partly, STORED) == [f"{SERIES_UID}.1"]
        assert reasons_in(partly, OTHERS) == [Failure.OUT_OF_RESOURCES]
        assert nothing.status_code == 507
        assert reasons_in(nothing, OTHERS) == [Failure.OUT_OF_RESOURCES]
        assert len(archive.kept) == 1


def test_an_instance_that_is_too_large_leaves_none_of_the_others_out(
    door: StowDoor, tmp_path: Path
) -> None:
    large = FILMS[0] + bytes(50_000)
    small = replace(door.inbox, quota=Quota(10**9, 10, instance_bytes=len(large) - 1))
    with serving(replace(door, inbox=small), tmp_path) as archive:
        answer = archive.push(multipart(large, FILMS[1]))

        assert answer.status_code == 202
        assert reasons_in(answer, OTHERS) == [Failure.OUT_OF_RESOURCES]
        assert uids_in(answer, STORED) == [f"{SERIES_UID}.2"]


def test_a_full_inbox_names_each_that_is_not_taken(door: StowDoor, tmp_path: Path) -> None:
    full = replace(door.inbox, quota=Quota(10**9, instances=1))
    with serving(replace(door, inbox=full), tmp_path) as archive:
        answer = archive.push(multipart(FILMS[0], FILMS[1], FILMS[1]))

        assert answer.status_code == 202
        assert reasons_in(answer, OTHERS) == [Failure.OUT_OF_RESOURCES] * 2


def test_blanks_after_a_boundary_are_no_header(archive: Archive) -> None:
    line = f"--{BOUNDARY}".encode()
    body = multipart(FILMS[0]).replace(line + b"\r\n", line + b" \t\r\n", 1)

    assert archive.push(body).status_code == 200


def in_pieces(body: bytes) -> Iterator[bytes]:
    return (body[at : at + 4096] for at in range(0, len(body), 4096))


def test_an_instance_larger_than_the_room_is_cut_off_while_it_comes(
    door: StowDoor, tmp_path: Path
) -> None:
    small = replace(door.inbox, quota=Quota(10**9, 10, instance_bytes=1000))
    with serving(replace(door, inbox=small), tmp_path) as archive:
        answer = archive.push(in_pieces(multipart(*FILMS)))

        assert answer.status_code == 507 and archive.kept == []


def test_a_body_larger_than_is_read_at_once_is_413_stated_or_not(
    door: StowDoor, tmp_path: Path
) -> None:
    body = multipart(*FILMS)
    with serving(replace(door, body_limit_bytes=len(body) - 1), tmp_path) as archive:
        assert archive.push(body).status_code == 413
        assert archive.push(in_pieces(body)).status_code == 413
    with serving(replace(door, body_limit_bytes=len(body)), tmp_path) as archive:
        assert archive.push(in_pieces(body)).status_code == 200


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (multipart(FILMS[0])[:-30], {}, 400),
        (b"no multipart", {}, 400),
        (f"--{BOUNDARY}--\r\n".encode(), {}, 400),
        (b"", {}, 400),
        (f"--{BOUNDARY}\r\nX: {'y' * 100_000}".encode(), {}, 400),
        (FILMS[0], {"Content-Type": "application/dicom"}, 415),
        (gzip.compress(multipart(FILMS[0]), mtime=0), {"Content-Encoding": "gzip"}, 415),
        (multipart(FILMS[0]), {"Content-Type": "multipart/related"}, 415),
        (
            multipart(FILMS[0]),
            {"Content-Type": f'multipart/related; type="text/xml"; boundary={BOUNDARY}'},
            415,
        ),
        (multipart(b"<xml/>", content_type="application/dicom+xml"), {}, 415),
    ],
    ids=[
        "cut off",
        "no multipart",
        "no part",
        "empty",
        "endless header",
        "bare instance",
        "gzip",
        "no boundary",
        "another type",
        "XML part",
    ],
)
def test_a_body_that_is_no_multipart_of_instances_is_refused(
    archive: Archive, body: bytes, headers: dict[str, str], status: int
) -> None:
    answer = archive.push(body, headers=headers)

    assert answer.status_code == status
    assert answer.json()["resourceType"] == "OperationOutcome"
    assert archive.kept == []


def test_a_study_that_is_none_is_refused_before_the_body(archive: Archive) -> None:
    assert archive.push(multipart(FILMS[0]), at="t-1/studies/1.2.3;x").status_code == 400


def test_a_sender_that_hangs_up_leaves_nothing(archive: Archive) -> None:
    host = archive.base.removeprefix("http://")
    connection = HTTPConnection(host, timeout=60)
    connection.putrequest("POST", "/dicom-web/t-1/studies")
    connection.putheader("Authorization", f"Bearer {TOKEN}")
    connection.putheader("Content-Type", CONTENT_TYPE)
    connection.putheader("Content-Length", "100000")
    connection.endheaders()
    connection.send(multipart(FILMS[0])[:5000])
    connection.close()

    answer = archive.push(multipart(FILMS[1]))

    assert answer.status_code == 200
    wait_until(lambda: len(archive.kept) == 1)


def test_a_sender_that_falls_silent_holds_no_thread(door: StowDoor, tmp_path: Path) -> None:
    with serving(replace(door, stall_s=0.2), tmp_path) as archive:
        connection = HTTPConnection(archive.base.removeprefix("http://"), timeout=120)
        connection.putrequest("POST", "/dicom-web/t-1/studies")
        connection.putheader("Authorization", f"Bearer {TOKEN}")
        connection.putheader("Content-Type", CONTENT_TYPE)
        connection.putheader("Content-Length", "100000")
        connection.endheaders()
        connection.send(multipart(FILMS[0])[:5000])  # and nothing more, for ever

        assert connection.getresponse().status == 400

        connection.close()
        assert archive.kept == []


def test_more_uploads_at_once_than_hooks_can_spare_threads_are_put_off(archive: Archive) -> None:
    taken = [archive.door.turns.acquire(blocking=False) for _ in range(stow.UPLOADS)]

    answer = archive.push(multipart(FILMS[0]))
    for _ in taken:
        archive.door.turns.release()

    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) >= 1
    assert archive.push(multipart(FILMS[0])).status_code == 200


# --- for whom -----------------------------------------------------------------------------------


@pytest.mark.parametrize("token", [None, "", "wrong-token-that-nobody-made-here", "short"])
def test_nobody_without_a_credential_is_let_in_and_none_is_told_why(
    archive: Archive, token: str | None
) -> None:
    answer = archive.push(multipart(FILMS[0]), token=token)

    assert answer.status_code == 401 and answer.content == b""
    assert archive.kept == []


def test_a_stranger_writes_no_line_of_the_log_and_no_study(
    archive: Archive, caplog: pytest.LogCaptureFixture
) -> None:
    forged = quote("1.2.3\n2026-11-23 ERROR forged")

    assert archive.push(b"", at=f"t-1/studies/{forged}", token=None).status_code == 401

    [line] = [one.getMessage() for one in caplog.records if "refused" in one.getMessage()]
    assert "1.2.3" not in line and "\n" not in line


def test_the_credential_says_whose_it_is_and_not_the_address(archive: Archive) -> None:
    answer = archive.push(multipart(FILMS[0]), at="t-2/studies")

    assert answer.status_code == 404 and archive.kept == []


def test_a_closed_door_is_not_found(archive: Archive, engine: Engine) -> None:
    SqlTenants(engine).set_door("t-1", Door.STOW_RS, is_open=False)

    assert archive.push(multipart(FILMS[0])).status_code == 404
    assert archive.kept == []


def test_a_token_that_was_taken_back_opens_nothing(archive: Archive, engine: Engine) -> None:
    SqlPushCredentials(engine).remove_all("t-1")

    assert archive.push(multipart(FILMS[0])).status_code == 401


def a_certificate() -> bytes:
    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "archive")])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
        .public_bytes(Encoding.PEM)
    )


def test_a_certificate_that_the_proxy_saw_counts_only_where_that_is_configured(
    door: StowDoor, engine: Engine, tmp_path: Path
) -> None:
    pem = a_certificate()
    digest = x509.load_pem_x509_certificate(pem).fingerprint(SHA256()).hex()
    SqlPushCredentials(engine).add("t-1", CredentialKind.CERTIFICATE, digest)
    name = "X-Client-Cert"
    configured = replace(door, certificate_digest=certificate_digest, certificate_header=name)

    with serving(door, tmp_path) as archive:
        sent = {name: quote(pem)}
        assert archive.push(multipart(FILMS[0]), token=None, headers=sent).status_code == 401
    with serving(configured, tmp_path) as archive:
        for header, status in (
            (quote(pem), 200),
            (quote(a_certificate()), 401),
            ("nonsense", 401),
            ("", 401),
        ):
            sent = {name: header}
            answer = archive.push(multipart(FILMS[0]), token=None, headers=sent)
            assert answer.status_code == status


# --- what the administrator is told -------------------------------------------------------------


def refused(engine: Engine) -> list[AuditEvent]:
    long_ago = datetime.now(UTC) - timedelta(days=1)
    return SqlAuditLog(engine).newest([AuditAction.CALL_REFUSED], since=long_ago)[::-1]


def reasons(engine: Engine) -> list[tuple[str | None, str]]:
    return [(one.tenant_id, one.outcome) for one in refused(engine)]


def test_t20_what_is_refused_is_audited_with_the_door_the_reason_and_the_address(
    archive: Archive, engine: Engine
) -> None:
    archive.push(multipart(FILMS[0]), token="wrong-token-that-nobody-made-here")
    archive.push(multipart(FILMS[0]), at=f"t-2/studies/{STUDY_UID}")
    SqlTenants(engine).set_door("t-1", Door.STOW_RS, is_open=False)
    archive.push(multipart(FILMS[0]))

    assert reasons(engine) == [
        (None, "unknown-credential"),
        ("t-1", "address-of-another-ehr"),
        ("t-1", "door-closed"),
    ]
    [line, *_] = refused(engine)
    assert (line.agent, line.detail) == ("stow-rs", "127.0.0.1")
    assert all(one.patient_id is one.study_uid is None for one in refused(engine))
    kept = repr(refused(engine))
    assert "wrong-token" not in kept and TOKEN not in kept and STUDY_UID not in kept


def test_the_proxy_and_whom_it_saw_are_both_named(archive: Archive, engine: Engine) -> None:
    archive.push(b"", token=None, headers={"X-Forwarded-For": "203.0.113.9, 198.51.100.7"})

    assert refused(engine)[0].detail == "198.51.100.7 through 127.0.0.1"


def test_a_full_inbox_and_a_body_that_is_too_large_are_audited(
    door: StowDoor, engine: Engine, tmp_path: Path
) -> None:
    inbox = replace(door.inbox, quota=Quota(1_000_000, 1))
    with serving(replace(door, inbox=inbox, body_limit_bytes=2_000_000), tmp_path) as archive:
        full = archive.push(multipart(*FILMS))
        large = archive.push(bytes(2_000_001))

    assert (full.status_code, large.status_code) == (202, 413)
    assert reasons(engine) == [("t-1", "inbox-full"), ("t-1", "too-large")]


def test_uploads_that_are_put_off_are_audited(archive: Archive, engine: Engine) -> None:
    taken = [archive.door.turns.acquire(blocking=False) for _ in range(stow.UPLOADS)]

    archive.push(multipart(FILMS[0]))
    for _ in taken:
        archive.door.turns.release()

    assert reasons(engine) == [("t-1", "too-often")]


def test_t18_a_flood_of_refused_pushes_is_a_few_lines(archive: Archive, engine: Engine) -> None:
    for _ in range(25):
        archive.push(b"", token=None)

    assert len(refused(engine)) == 2
    assert refused(engine)[1].detail.startswith("127.0.0.1, 10 since 20")


def test_what_is_taken_leaves_no_such_line(archive: Archive, engine: Engine) -> None:
    assert archive.push(multipart(FILMS[0])).status_code == 200

    assert refused(engine) == []


def wait_until(is_so: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(600):
        if is_so():
            return
        waited.wait(0.1)
    raise AssertionError("it never came to be")
