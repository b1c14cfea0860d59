"""A DIMSE listener on a loopback port, and the ways to speak to it: pynetdicom and bare bytes."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.pdu import A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.pdu_primitives import A_ASSOCIATE, P_DATA, MaximumLengthNotification
from pynetdicom.pdu_primitives import ImplementationClassUIDNotification as Implementation
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification
from pynetdicom.transport import AssociationSocket

from cds_service.adapters.dimse.listener import Caller, DimseListener, Reception
from cds_service.intake.inbox import Inbox

WAIT_S = 60.0
HERE = Caller("PACS", "127.0.0.1/32")


def _shut(connection: AssociationSocket) -> None:
    """Close a connection whoever closed it first.

    pynetdicom 3.0 forgets `close` where its `shutdown` fails because the other side was first, and
    whichever test runs later would be blamed for the open socket.
    """
    if connection.socket is not None:
        with suppress(OSError):
            connection.socket.shutdown(socket.SHUT_RDWR)
        connection.socket.close()


@pytest.fixture(scope="session", autouse=True)
def tidied() -> Iterator[None]:
    """Let pynetdicom's own client and server leave no socket open; ours do so themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(AssociationSocket, "_shutdown_socket", _shut)
        yield


@dataclass
class Listening:
    """A listener that runs in a thread of its own."""

    listener: DimseListener
    is_open: list[bool] = field(default_factory=lambda: [True])

    def call(
        self,
        *contexts: Any,
        as_: str = "PACS",
        called: str = "SIGHTLINE",
        tls: ssl.SSLContext | None = None,
    ) -> Association:
        """Ask for an association, for chest films and C-ECHO unless others are named."""
        ae = AE(as_)
        ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = WAIT_S
        film = build_context(DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian)
        ae.requested_contexts = list(contexts) or [film, build_context(Verification)]
        return ae.associate(
            "127.0.0.1",
            self.listener.port,
            ae_title=called,
            tls_args=None if tls is None else (tls, None),
        )

    def store(self, film: Dataset, *contexts: Any) -> int:
        """Send one film and return the status of the answer."""
        association = self.call(*contexts)
        assert association.is_established
        try:
            return int(association.send_c_store(film).Status)
        finally:
            association.release()

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """A bare connection."""
        with socket.create_connection(("127.0.0.1", self.listener.port), WAIT_S) as connection:
            yield connection

    @contextmanager
    def associated(self) -> Iterator[socket.socket]:
        """A bare connection on which an association for films (context 1) was accepted."""
        with self.connected() as connection:
            connection.sendall(an_association_request())
            assert connection.recv(1) == b"\x02"  # A-ASSOCIATE-AC
            connection.recv(65536)
            yield connection


@contextmanager
def listening(inbox: Inbox, *callers: Caller, **options: Any) -> Iterator[Listening]:
    is_open, before = [True], threading.active_count()

    def take(arrival: Any, said: tuple[str, str]) -> None:
        inbox.take("t-1", arrival, inbox.look(arrival), said=said)

    reception = Reception(lambda: is_open[0], lambda: inbox.begin("t-1"), take)
    listener = DimseListener(
        ("127.0.0.1", 0), "SIGHTLINE", callers or (HERE,), reception, **options
    )
    thread = threading.Thread(target=listener.run, daemon=True)
    thread.start()
    try:
        yield Listening(listener, is_open)
    finally:
        listener.stop()
        thread.join(WAIT_S)
        wait_until(lambda: threading.active_count() <= before + len(acceptors()))


def acceptors() -> list[threading.Thread]:
    """Threads that wait for the first word of a caller: they end by a timer."""
    return [one for one in threading.enumerate() if "Acceptor" in one.name]


def an_association_request() -> bytes:
    asked = A_ASSOCIATE()
    asked.application_context_name = "1.2.840.10008.3.1.1.1"
    asked.calling_ae_title, asked.called_ae_title = "PACS", "SIGHTLINE"
    film = build_context(DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian)
    film.context_id = 1
    asked.presentation_context_definition_list = [film]
    length, implementation = MaximumLengthNotification(), Implementation()
    length.maximum_length_received = 16384
    implementation.implementation_class_uid = "1.2.3.4"
    asked.user_information = [length, implementation]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(asked)
    return bytes(pdu.encode())


def p_data(fragment: bytes, context_id: int = 1) -> bytes:
    """One P-DATA-TF with one fragment; its first byte is the message control header."""
    primitive, pdu = P_DATA(), P_DATA_TF()
    primitive.presentation_data_value_list.append((context_id, fragment))
    pdu.from_primitive(primitive)
    return bytes(pdu.encode())


def is_ended(connection: socket.socket) -> bool:
    """Read until the other side aborts or closes; False when it answers something else."""
    connection.settimeout(WAIT_S)
    try:
        first = connection.recv(1)
    except ConnectionError:
        return True
    return first in (b"", b"\x07")  # A-ABORT


def wait_until(is_so: Any) -> None:
    waited = threading.Event()
    for _ in range(int(WAIT_S * 10)):
        if is_so():
            return
        waited.wait(0.1)
    raise AssertionError("it never came to be")


def left_in(folder: Path) -> list[Path]:
    """Every file of the inbox that is not a kept instance."""
    return [path for path in folder.rglob("*.part")]
