"""The DICOMweb archive: over HTTP, and with a DICOMweb client nobody here wrote."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from flask import Flask
from flask.testing import FlaskClient
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.dataset import FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from cds_service.sandbox.app import create_sandbox
from cds_service.sandbox.multipart import read_parts
from cds_service.sandbox.parts import EXTENSION, Sandbox
from tests.unit.sandbox.clients import ORIGIN, App, Clock, a_config, issue, study_uid

DX = UID("1.2.840.10008.5.1.4.1.1.1.1")
ANY_SYNTAX = 'multipart/related; type="application/dicom"; transfer-syntax=*'


def an_instance(patient: str = "p1", number: int = 1, **changes: Any) -> bytes:
    """Return a DICOM Part 10 file; its series is its study with .1 behind."""
    study = changes.get("StudyInstanceUID", study_uid(patient))
    dataset = Dataset()
    attributes = {
        "SOPClassUID": DX,
        "SOPInstanceUID": f"{study}.1.{number}",
        "SeriesInstanceUID": f"{study}.1",
        "StudyInstanceUID": study,
        "PatientID": f"MRN-{patient}",
        "PatientName": "Example^Müller",
        "SpecificCharacterSet": "ISO_IR 192",
        "StudyDate": "20260102",
        "AccessionNumber": f"ACC-{patient}",
        "Modality": "DX",
        "InstanceNumber": number,
        "Rows": 2,
        "Columns": 2,
        "BitsAllocated": 8,
        "BitsStored": 8,
        "HighBit": 7,
        "PixelRepresentation": 0,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
    } | changes
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = b"\r\n--"
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = DX
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(attributes["SOPInstanceUID"])
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def a_message(*contents: bytes, part_type: str = "application/dicom") -> bytes:
    parts = [f"--edge\r\nContent-Type: {part_type}\r\n\r\n".encode() + c for c in contents]
    return b"\r\n".join([*parts, b"--edge--"])


def stow(
    http: FlaskClient, headers: dict[str, str], body: bytes, study: str | None = None, **change: str
) -> TestResponse:
    content_type = change.get(
        "content_type", 'multipart/related; type="application/dicom"; boundary=edge'
    )
    path = "/dicom-web/studies" + (f"/{study}" if study else "")
    return http.post(path, data=body, content_type=content_type, headers=headers)


@pytest.fixture
def writer(app: App) -> dict[str, str]:
    return app.backend("system/ImagingStudy.crs")


@pytest.fixture
def filled(parts: Sandbox) -> Sandbox:
    """Two instances of p1's study, one of p2's a year earlier."""
    parts.archive.store(an_instance("p1", 1))
    parts.archive.store(an_instance("p1", 2))
    parts.archive.store(an_instance("p2", 1, StudyDate="20250102", Modality="CT"))
    return parts


def studies(response: TestResponse) -> list[str]:
    if response.status_code == 204:
        return []
    assert response.status_code == 200 and response.mimetype == "application/dicom+json"
    return [row["0020000D"]["Value"][0] for row in json.loads(response.data)]


# -- with an independent client


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve the app on a loopback port of its own; yields its DICOMweb base."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}/dicom-web"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_an_independent_client_stores_searches_and_retrieves(
    flask_app: Flask, writer: dict[str, str]
) -> None:
    original = dcmread(BytesIO(an_instance("p1")))
    uids = (original.StudyInstanceUID, original.SeriesInstanceUID, original.SOPInstanceUID)
    with served(flask_app) as base, requests.Session() as session:
        session.headers.update(writer)
        client = DICOMwebClient(base, session=session)
        client.set_chunk_size(512)  # so that storing uses chunked transfer encoding

        answer = client.store_instances([original, dcmread(BytesIO(an_instance("p1", 2)))])
        found = client.search_for_studies(search_filters={"PatientID": "MRN-p1"})
        series = client.search_for_series(uids[0])
        none = client.search_for_instances(search_filters={"PatientID": "nobody"})
        instance = client.retrieve_instance(*uids)
        whole = client.retrieve_study(uids[0])
        metadata = client.retrieve_instance_metadata(*uids)

    assert len(answer.ReferencedSOPSequence) == 2 and "FailedSOPSequence" not in answer
    study = Dataset.from_json(found[0])
    assert (study.StudyInstanceUID, study.NumberOfStudyRelatedInstances) == (uids[0], 2)
    assert study.ModalitiesInStudy == "DX" and str(study.PatientName) == "Example^Müller"
    assert Dataset.from_json(series[0]).NumberOfSeriesRelatedInstances == 2 and none == []
    assert instance == original and len(whole) == 2
    assert Dataset.from_json(metadata).Rows == 2 and "7FE00010" not in metadata


def test_real_dicom_comes_back_byte_for_byte(
    parts: Sandbox, http: FlaskClient, app: App, shared_data: Path
) -> None:
    headers, taken = app.backend("system/ImagingStudy.crs"), 0
    for path in sorted((shared_data / "dicom").glob("CTImage.dcm*"))[:6]:
        content = path.read_bytes()
        response = stow(http, headers, a_message(content))
        if response.status_code != 200:
            continue  # several files carry one instance UID: the first stays
        url = json.loads(response.data)["00081199"]["Value"][0]["00081190"]["Value"][0]
        taken += 1

        retrieved = http.get(url.removeprefix(ORIGIN), headers=headers)

        sent = [body for _, body in read_parts(retrieved.headers["Content-Type"], retrieved.data)]
        assert sent == [content]
        assert http.get(f"{url.removeprefix(ORIGIN)}/metadata", headers=headers).status_code == 200
    assert taken


# -- storing

NO_STUDY = an_instance(StudyInstanceUID="", SeriesInstanceUID="1.2", SOPInstanceUID="1.2.3")


def test_a_second_store_of_the_same_file_changes_nothing(
    http: FlaskClient, writer: dict[str, str]
) -> None:
    answers = [stow(http, writer, a_message(an_instance())) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].data == answers[1].data


def test_other_bytes_under_a_known_instance_uid_are_refused(
    http: FlaskClient, writer: dict[str, str], parts: Sandbox
) -> None:
    first = an_instance()
    stow(http, writer, a_message(first))

    response = stow(http, writer, a_message(an_instance(PatientID="somebody-else")))

    [held] = parts.archive.instances(study_uid("p1"))
    failure = json.loads(response.data)["00081198"]["Value"][0]["00081197"]["Value"]
    assert response.status_code == 409 and failure == [0x0111]
    assert parts.archive.content(held) == first


def test_an_instance_of_another_study_than_the_url_is_refused(
    http: FlaskClient, writer: dict[str, str], parts: Sandbox
) -> None:
    all_wrong = stow(http, writer, a_message(an_instance("p2")), study_uid("p1"))
    some_wrong = stow(
        http, writer, a_message(an_instance("p1"), an_instance("p2")), study_uid("p1")
    )

    assert (all_wrong.status_code, some_wrong.status_code) == (409, 202)
    assert parts.archive.instances(study_uid("p2")) == []
    assert len(parts.archive.instances(study_uid("p1"))) == 1


@pytest.mark.parametrize("content", [b"", b"not DICOM", an_instance()[:200], NO_STUDY])
def test_what_is_no_dicom_file_is_refused(
    http: FlaskClient, writer: dict[str, str], content: bytes
) -> None:
    response = stow(http, writer, a_message(content))

    reasons = json.loads(response.data)["00081198"]["Value"][0]["00081197"]["Value"]
    assert response.status_code == 409 and reasons == [0xC000]


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (a_message(an_instance()), "application/dicom", 415),
        (
            a_message(an_instance()),
            'multipart/related; type="application/dicom+xml"; boundary=edge',
            415,
        ),
        (
            a_message(b"x", part_type="image/jpeg"),
            'multipart/related; type="application/dicom"; boundary=edge',
            415,
        ),
        (a_message(an_instance()), 'multipart/related; type="application/dicom"', 400),
        (
            a_message(an_instance())[:-4],
            'multipart/related; type="application/dicom"; boundary=edge',
            400,
        ),
        (
            b"--edge\r\nno headers\r\n--edge--",
            'multipart/related; type="application/dicom"; boundary=edge',
            400,
        ),
        (
            b"--edge\r\nX-Other: 1\r\n\r\nx\r\n--edge--",
            'multipart/related; type="application/dicom"; boundary=edge',
            415,
        ),
        (b"--edge--", 'multipart/related; type="application/dicom"; boundary=edge', 400),
        (b"", 'multipart/related; type="application/dicom"; boundary=edge', 400),
    ],
)
def test_a_malformed_store_request_is_refused(
    http: FlaskClient, writer: dict[str, str], body: bytes, content_type: str, status: int
) -> None:
    response = stow(http, writer, body, content_type=content_type)

    assert response.status_code == status and issue(response)["severity"] == "error"


def test_a_store_request_over_64_mib_is_refused_before_it_is_read(
    http: FlaskClient, writer: dict[str, str]
) -> None:
    response = http.post(
        "/dicom-web/studies",
        content_type='multipart/related; type="application/dicom"; boundary=edge',
        headers=writer,
        environ_overrides={"CONTENT_LENGTH": str(64 * 1024 * 1024 + 1)},
    )

    assert response.status_code == 413 and issue(response)["code"] == "too-long"


# -- searching


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["p1", "p2"]),
        ("PatientID=MRN-p1", ["p1"]),
        ("00100020=MRN-p1", ["p1"]),
        ("AccessionNumber=ACC-p2", ["p2"]),
        (f"StudyInstanceUID={study_uid('p2')}", ["p2"]),
        (f"StudyInstanceUID={study_uid('p1')},{study_uid('p2')}", ["p1", "p2"]),
        ("StudyDate=20260102", ["p1"]),
        ("StudyDate=20250101-20251231", ["p2"]),
        ("StudyDate=20250601-", ["p1"]),
        ("StudyDate=-20250601", ["p2"]),
        ("ModalitiesInStudy=CT", ["p2"]),
        ("ModalitiesInStudy=MR", []),
        ("PatientID=MRN-p1&StudyDate=2025-", None),
        ("StudyDate=-", None),
        ("PatientName=Example", None),
        ("PatientID=MRN*", None),
        ("limit=x", None),
        ("limit=1", ["p1"]),
        ("limit=1&offset=1", ["p2"]),
        ("offset=2", []),
        ("includefield=all&PatientID=MRN-p2", ["p2"]),
    ],
)
def test_studies_are_found_by_what_the_standard_lets_us_match(
    filled: Sandbox, http: FlaskClient, writer: dict[str, str], query: str, found: list[str] | None
) -> None:
    response = http.get(f"/dicom-web/studies?{query}", headers=writer)

    if found is None:
        assert response.status_code == 400 and issue(response)["code"] == "not-supported"
    else:
        assert studies(response) == [study_uid(patient) for patient in found]


def test_series_and_instances_are_found_below_their_study(
    filled: Sandbox, http: FlaskClient, writer: dict[str, str]
) -> None:
    study = study_uid("p1")

    series = http.get(f"/dicom-web/studies/{study}/series", headers=writer).get_json(force=True)
    instances = http.get(
        f"/dicom-web/studies/{study}/series/{study}.1/instances", headers=writer
    ).get_json(force=True)
    all_of_them = http.get("/dicom-web/instances?Modality=DX", headers=writer).get_json(force=True)

    assert [row["00080060"]["Value"] for row in series] == [["DX"]]
    assert [row["00200013"]["Value"] for row in instances] == [
        [1],
        [2],
    ] and instances == all_of_them
    assert instances[0]["00081190"]["Value"] == [
        f"{ORIGIN}/dicom-web/studies/{study}/series/{study}.1/instances/{study}.1.1"
    ]


# -- retrieving


@pytest.mark.parametrize(
    "accept",
    [None, ANY_SYNTAX, "*/*", "multipart/related", ANY_SYNTAX[:-1] + ExplicitVRLittleEndian],
)
def test_the_stored_bytes_come_back_unchanged(
    filled: Sandbox, http: FlaskClient, writer: dict[str, str], accept: str | None
) -> None:
    headers = writer | ({"Accept": accept} if accept else {})

    response = http.get(f"/dicom-web/studies/{study_uid('p1')}", headers=headers)

    parts = list(read_parts(response.headers["Content-Type"], response.data))
    assert parts == [("application/dicom", an_instance("p1", n)) for n in (1, 2)]


@pytest.mark.parametrize(
    "accept",
    [
        "image/jpeg",
        'multipart/related; type="image/jpeg"',
        'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.90',
    ],
)
def test_what_is_not_stored_is_not_acceptable(
    filled: Sandbox, http: FlaskClient, writer: dict[str, str], accept: str
) -> None:
    response = http.get(
        f"/dicom-web/studies/{study_uid('p1')}", headers=writer | {"Accept": accept}
    )

    assert response.status_code == 406


@pytest.mark.parametrize("path", ["studies", "studies/1.2.3/metadata"])
def test_the_archive_does_not_speak_xml(
    filled: Sandbox, http: FlaskClient, writer: dict[str, str], path: str
) -> None:
    headers = writer | {"Accept": "application/dicom+xml"}

    assert http.get(f"/dicom-web/{path}", headers=headers).status_code in (404, 406)
    assert (
        http.get(f"/dicom-web/studies/{study_uid('p1')}/metadata", headers=headers).status_code
        == 406
    )


@pytest.mark.parametrize(
    "path",
    [
        "studies/1.2.3",
        f"studies/{study_uid('p1')}/series/1.2",
        f"studies/{study_uid('p1')}/series/{study_uid('p1')}.1/instances/9",
        f"studies/{study_uid('p2')}/series/{study_uid('p1')}.1",
        "studies/1.2.3/metadata",
        f"studies/{study_uid('p1')}/rendered",
    ],
)
def test_what_the_archive_does_not_hold_is_not_found(
    filled: Sandbox, http: FlaskClient, writer: dict[str, str], path: str
) -> None:
    response = http.get(f"/dicom-web/{path}", headers=writer)

    assert response.status_code == 404 and issue(response)["code"] == "not-found"


# -- who may


def test_the_archive_needs_a_token(filled: Sandbox, http: FlaskClient) -> None:
    for path in ("studies", f"studies/{study_uid('p1')}", f"studies/{study_uid('p1')}/metadata"):
        assert http.get(f"/dicom-web/{path}").status_code == 401
    assert stow(http, {}, a_message(an_instance())).status_code == 401


def test_each_transaction_needs_its_scope(filled: Sandbox, http: FlaskClient, app: App) -> None:
    study = f"/dicom-web/studies/{study_uid('p1')}"
    answers = {}
    for letter in "crs":
        headers = app.backend(f"system/ImagingStudy.{letter}")
        answers[letter] = (
            stow(http, headers, a_message(an_instance())).status_code,
            http.get(study, headers=headers).status_code,
            http.get("/dicom-web/studies", headers=headers).status_code,
        )

    assert answers == {"c": (200, 403, 403), "r": (403, 200, 403), "s": (403, 403, 200)}


def test_a_patients_token_reaches_the_studies_of_that_patients_record(
    filled: Sandbox, http: FlaskClient, app: App
) -> None:
    headers = app.launched("patient/ImagingStudy.crs")

    assert studies(http.get("/dicom-web/studies", headers=headers)) == [study_uid("p1")]
    assert http.get(f"/dicom-web/studies/{study_uid('p1')}", headers=headers).status_code == 200
    assert http.get(f"/dicom-web/studies/{study_uid('p2')}", headers=headers).status_code == 403
    assert stow(http, headers, a_message(an_instance())).status_code == 403


def test_a_site_may_open_its_archive_to_clients_without_tokens(
    tmp_path: Path, clock: Clock
) -> None:
    site = create_sandbox(replace(a_config(tmp_path, clock), archive_requires_token=False))
    parts: Sandbox = site.extensions[EXTENSION]
    parts.archive.store(an_instance("p1"))

    assert studies(site.test_client().get("/dicom-web/studies")) == [study_uid("p1")]
    parts.fhir.close()
    parts.archive.close()


def test_the_archive_outlives_the_process(tmp_path: Path, clock: Clock) -> None:
    for expected in ([], [study_uid("p1")]):
        site = create_sandbox(a_config(tmp_path, clock, archive_requires_token=False))
        parts: Sandbox = site.extensions[EXTENSION]

        assert studies(site.test_client().get("/dicom-web/studies")) == expected

        parts.archive.store(an_instance("p1"))
        parts.fhir.close()
        parts.archive.close()
