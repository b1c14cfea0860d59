"""An archive that speaks C-FIND and C-GET, in this process, and the ways in which it misbehaves."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import BytesIO
from ssl import SSLContext
from typing import Any

from pydicom import Dataset, dcmread
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind as FIND,
)
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelGet as GET,
)

TITLE = "PACS"
_KEYS = ("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")  # of a row, by its level


@dataclass
class DimseServer:
    """What it has, and what it does wrong."""

    port: int = 0
    films: list[Dataset] = field(default_factory=list)
    asked: list[Dataset] = field(default_factory=list)  # by C-GET
    titles: list[str] = field(default_factory=list)  # of who called
    before: Callable[[evt.Event, int], None] = lambda _event, _number: None  # each instance
    rows: list[Dataset] = field(default_factory=list)  # answered besides
    status: int | None = None  # of every C-GET
    hidden: frozenset[str] = frozenset()  # SOP UIDs that no list of images names
    ignores: tuple[str, ...] = ()  # keys of a C-GET
    cuts: list[int] = field(default_factory=list)  # of an association, after so many instances
    given: int = 0  # on this association, by C-GET

    @property
    def base(self) -> str:
        return f"dicom://SIGHTLINE@{TITLE}@127.0.0.1:{self.port}"


@contextmanager
def dimse_server(*models: Any, tls: SSLContext | None = None) -> Iterator[DimseServer]:
    """Listen; `models` are those that it offers, all by default."""
    server = DimseServer()
    ae = AE(TITLE)
    ae.require_called_aet = True
    for model in models or (FIND, GET):
        ae.add_supported_context(model)
    ae.add_supported_context(
        DigitalXRayImageStorageForPresentation,
        ExplicitVRLittleEndian,
        scu_role=True,
        scp_role=True,
    )
    handlers = [(evt.EVT_C_FIND, _find, [server]), (evt.EVT_C_GET, _get, [server])]
    handlers.append((evt.EVT_ACCEPTED, _begin, [server]))
    running = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers, ssl_context=tls)
    assert running is not None
    server.port = running.server_address[1]
    try:
        yield server
    finally:
        running.shutdown()


def as_films(*instances: bytes) -> list[Dataset]:
    return [dcmread(BytesIO(one)) for one in instances]


def _find(event: evt.Event, server: DimseServer) -> Iterator[tuple[int, Dataset | None]]:
    asked = event.identifier
    server.titles.append(event.assoc.requestor.ae_title)
    yield from ((0xFF00, row) for row in server.rows)
    seen = set()
    for film in _fitting(server.films, asked):
        row = Dataset()
        for element in asked:
            if element.keyword != "QueryRetrieveLevel":
                row[element.tag] = film.get(element.tag) or element
        key = next(row[one].value for one in _KEYS if row.get(one))
        if key not in seen and key not in server.hidden:
            seen.add(key)
            yield 0xFF00, row


def _get(event: evt.Event, server: DimseServer) -> Iterator[Any]:
    server.asked.append(event.identifier)
    asked = Dataset()
    asked.update({one.tag: one for one in event.identifier if one.keyword not in server.ignores})
    films = _fitting(server.films, asked)
    yield len(films)
    if server.status is not None:
        yield server.status, None
        return
    for number, film in enumerate(films):
        server.before(event, number)
        if server.cuts and server.given == server.cuts[0]:
            del server.cuts[0]
            cut(event)
            return
        server.given += 1
        yield 0xFF00, film


def cut(event: evt.Event) -> None:
    """Break the connection."""
    event.assoc.dul.socket.socket.shutdown(socket.SHUT_RDWR)


def _begin(_event: evt.Event, server: DimseServer) -> None:
    server.given = 0


def _fitting(films: list[Dataset], asked: Dataset) -> list[Dataset]:
    keys = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "AccessionNumber")
    wanted = {key: asked.get(key) for key in keys if asked.get(key)}
    return [film for film in films if all(film.get(key) == one for key, one in wanted.items())]


@contextmanager
def cutting_relay(port: int, after: int) -> Iterator[tuple[int, list[object]]]:
    """Pass connections on to a port; the first is cut once so many bytes came from there.

    Yields where to connect, and from where somebody did, which grows.
    """
    callers: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            limit: int | None = after
            while True:
                try:
                    ours, caller = listening.accept()
                except OSError:
                    return
                callers.append(caller)
                with ours, socket.create_connection(("127.0.0.1", port)) as theirs:
                    asking = threading.Thread(target=_pump, args=(ours, theirs, None))
                    asking.start()
                    _pump(theirs, ours, limit)
                    asking.join()
                limit = None

        thread = threading.Thread(target=serve)
        thread.start()
        yield listening.getsockname()[1], callers
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def _pump(source: socket.socket, target: socket.socket, limit: int | None) -> None:
    """Copy until the source ends or the limit is reached; then end both."""
    with suppress(OSError):
        while limit is None or limit > 0:
            chunk = source.recv(4096)
            if not chunk:
                break
            target.sendall(chunk)
            limit = None if limit is None else limit - len(chunk)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
