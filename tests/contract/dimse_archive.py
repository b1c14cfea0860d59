"""An archive that speaks C-FIND and C-GET, in this process, and the ways in which it misbehaves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
        key = row.get("SeriesInstanceUID") or row.StudyInstanceUID
        if key not in seen:
            seen.add(key)
            yield 0xFF00, row


def _get(event: evt.Event, server: DimseServer) -> Iterator[Any]:
    server.asked.append(event.identifier)
    films = _fitting(server.films, event.identifier)
    yield len(films)
    if server.status is not None:
        yield server.status, None
        return
    for number, film in enumerate(films):
        server.before(event, number)
        yield 0xFF00, film


def _fitting(films: list[Dataset], asked: Dataset) -> list[Dataset]:
    keys = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "AccessionNumber")
    wanted = {key: asked.get(key) for key in keys if asked.get(key)}
    return [film for film in films if all(film.get(key) == one for key, one in wanted.items())]
