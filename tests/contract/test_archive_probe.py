"""Trying an archive: an address that is wrong is not an archive that is empty."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from flask import Flask, Response, request
from pynetdicom.sop_class import (
    StudyRootQueryRetrieveInformationModelFind as FIND,
)

from cds_service.adapters.archive_auth import unsigned
from cds_service.adapters.archive_probe import ArchiveProbe
from cds_service.adapters.dimse.client import Patience
from cds_service.adapters.dimse.greeting import greet
from cds_service.adapters.egress import Egress
from cds_service.domain.intake import Door
from cds_service.errors import ArchiveFailed, ArchiveRefused, EndpointNotAllowed
from tests.builders import a_tenant
from tests.contract.dimse_archive import dimse_server
from tests.intake.dimse import tidied as tidied
from tests.real.servers import free_port
from tests.web_app.house import listening

PATIENCE = Patience(30.0, 30.0, 60.0)


@dataclass
class AnArchive:
    """What it answers to everything, and what it was asked."""

    base: str = ""
    status: int = 200
    body: str = "[]"
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def archive() -> Iterator[AnArchive]:
    answering, app = AnArchive(), Flask(__name__)

    @app.get("/<path:_path>")
    def answer(_path: str) -> Response:
        answering.asked.append(request.full_path)
        return Response(answering.body, answering.status, mimetype="application/dicom+json")

    with listening(app) as port:
        answering.base = f"http://127.0.0.1:{port}/dicom-web"
        yield answering


def search(archive: AnArchive) -> None:
    probe = ArchiveProbe(Egress().session_for, unsigned)
    probe.search(a_tenant(archive_base=archive.base), archive.base)


def test_one_study_at_the_most_is_asked_for(archive: AnArchive) -> None:
    search(archive)

    assert archive.asked == ["/dicom-web/studies?limit=1"]


def test_an_empty_archive_is_one(archive: AnArchive) -> None:
    archive.status, archive.body = 204, ""

    search(archive)


@pytest.mark.parametrize("status", [302, 404, 410, 500, 503])
def test_an_address_without_an_archive_fails(archive: AnArchive, status: int) -> None:
    archive.status = status

    with pytest.raises(ArchiveFailed, match=str(status)):
        search(archive)


@pytest.mark.parametrize("status", [401, 403])
def test_an_archive_that_does_not_let_us_in_says_so(archive: AnArchive, status: int) -> None:
    archive.status = status

    with pytest.raises(ArchiveRefused, match="sightline archive credential"):
        search(archive)


@pytest.mark.parametrize("body", ["<html>Doe, Jane</html>", '{"PatientName": "Doe, Jane"}', ""])
def test_another_answer_fails_and_is_not_repeated(archive: AnArchive, body: str) -> None:
    archive.body = body

    with pytest.raises(ArchiveFailed) as failure:
        search(archive)

    assert "Doe" not in str(failure.value)


def test_an_archive_that_does_not_listen_fails() -> None:
    with pytest.raises(ArchiveFailed, match="could not be reached"):
        search(AnArchive(f"http://127.0.0.1:{free_port()}/dicom-web"))


def test_an_address_that_is_not_registered_is_not_called(archive: AnArchive) -> None:
    probe = ArchiveProbe(Egress().session_for, unsigned)

    with pytest.raises(EndpointNotAllowed):
        probe.search(a_tenant(), archive.base)

    assert archive.asked == []


@pytest.mark.parametrize(
    ("door", "body", "asked"),
    [
        (Door.ORTHANC_CHANGES, '{"Changes": [], "Last": 0}', "/dicom-web/changes?last="),
        (
            Door.AZURE_CHANGE_FEED,
            "[]",
            "/dicom-web/changefeed?limit=1&includeMetadata=false",
        ),
    ],
)
def test_a_change_feed_is_asked_for_its_last_change_or_for_one(
    archive: AnArchive, door: Door, body: str, asked: str
) -> None:
    archive.body = body
    probe = ArchiveProbe(Egress().session_for, unsigned)

    probe.feed(a_tenant(change_feed=archive.base), door)

    assert archive.asked == [asked]


def test_an_archive_without_dicomweb_is_greeted_and_not_asked() -> None:
    with dimse_server() as pacs:
        greet(a_tenant(archive_base=pacs.base), pacs.base, Egress().addresses, PATIENCE)

        assert pacs.titles == [] and pacs.asked == []


def test_one_without_c_get_is_refused_in_a_sentence() -> None:
    with dimse_server(FIND) as pacs, pytest.raises(ArchiveRefused, match="C-GET"):
        greet(a_tenant(archive_base=pacs.base), pacs.base, Egress().addresses, PATIENCE)


def test_one_that_is_stopped_fails() -> None:
    base = f"dicom://SIGHTLINE@PACS@127.0.0.1:{free_port()}"

    with pytest.raises(ArchiveFailed):
        greet(a_tenant(archive_base=base), base, Egress().addresses, PATIENCE)


def test_one_whose_name_is_not_known_fails() -> None:
    def unknown(*_: object, **__: object) -> list[str]:
        raise socket.gaierror

    base = "dicom://SIGHTLINE@PACS@pacs.example.org:11112"

    with pytest.raises(ArchiveFailed):
        greet(a_tenant(archive_base=base), base, unknown, PATIENCE)
