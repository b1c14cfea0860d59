"""Pictures under the user's own token, where the EHR offers that and the registration allows it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from typing import Any

import pytest
from flask import Flask, Response, jsonify, request
from pydicom import dcmread
from pydicom.uid import UID

from cds_service.domain.tenant import Tenant
from cds_service.sandbox.parts import Sandbox
from cds_service.sandbox.smart_configuration import smart_configuration
from tests.builders import a_finding
from tests.contract.wado_server import BOUNDARY, multipart
from tests.fakes.imaging import STUDY_UID, FakeArchive
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import (
    Browser,
    House,
    a_fhir_patient,
    a_fhir_study,
    a_radiograph,
    a_seen_result,
    listening,
)

WADO = f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'


class ImagingServer:
    """An imaging FHIR server and its DICOMweb archive, both behind the launch's token."""

    def __init__(self, instance: bytes) -> None:
        self.instance, self.origin, self.address = instance, "", ""
        self.requires_token, self.status, self.patient = True, 200, "p-1"
        self.asked: list[tuple[str, str]] = []

    def app(self) -> Flask:
        site = Flask("imaging")
        site.before_request(self._note)
        site.get("/imaging/ImagingStudy")(self._studies)
        site.get("/wado/<path:path>")(self._images)
        return site

    def _note(self) -> None:
        self.asked.append((request.path, request.headers.get("Authorization", "")))

    def _studies(self) -> Response:
        url = "http://fhir.org/argonaut/smart-imaging/StructureDefinition/requires-access-token"
        endpoint = {
            "resourceType": "Endpoint",
            "id": "e",
            "extension": [{"url": url, "valueBoolean": self.requires_token}],
            "connectionType": {"code": "dicom-wado-rs"},
            "address": self.address or f"{self.origin}/wado",
        }
        study = {
            "resourceType": "ImagingStudy",
            "status": "available",
            "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY_UID}"}],
            "subject": {"reference": f"Patient/{self.patient}"},
            "contained": [endpoint],
            "endpoint": [{"reference": "#e"}],
        }
        return jsonify({"resourceType": "Bundle", "entry": [{"resource": study}]})

    def _images(self, path: str) -> Response:
        return Response(multipart([self.instance]), self.status, content_type=WADO)


@contextmanager
def imaging_server(
    house: House, tenant: Tenant, patch: pytest.MonkeyPatch, *, is_registered: bool = True
) -> Iterator[ImagingServer]:
    """Start one, and let the EHR's SMART configuration name it."""
    server = ImagingServer(house.instance)
    with listening(server.app()) as port:
        server.origin = f"http://127.0.0.1:{port}"

        def configured(config: Any) -> dict[str, Any]:
            offered = {"url": f"{server.origin}/imaging", "capabilities": ["smart-imaging-access"]}
            return {**smart_configuration(config), "associated_endpoints": [offered]}

        patch.setattr("cds_service.sandbox.fhir_server.smart_configuration", configured)
        house.tenants.remove(tenant.id)
        archive = f"{server.origin}/wado" if is_registered else "http://127.0.0.1:9/dicom-web"
        house.tenants.add(replace(tenant, archive_base=archive))
        house.keep(a_seen_result(house.instance))
        yield server


def pictured(browser: Browser, tenant: Tenant, launch: str) -> int:
    page = browser.open(tenant.fhir_base, launch)
    return browser.get(f"{page}r/r-1/233604007/picture").status_code


def own_credentials(house: House) -> FakeArchive:
    archive = FakeArchive({STUDY_UID: [house.instance]})
    house.swap(archive=archive)
    return archive


def test_the_launch_s_own_token_fetches_its_pictures(
    browser: Browser,
    house: House,
    tenant: Tenant,
    launch_of: LaunchOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = own_credentials(house)
    with imaging_server(house, tenant, monkeypatch) as server:
        assert pictured(browser, tenant, launch_of("p-1")) == 200

    (listed, first), (fetched, second) = server.asked
    assert listed == "/imaging/ImagingStudy" and fetched.startswith(f"/wado/studies/{STUDY_UID}/")
    assert first == second and first.startswith("Bearer ") and archive.fetched == []
    keys = b" ".join(house.redis.keys())
    assert b"imaging:" in keys and STUDY_UID.encode() not in keys  # what stands there is not sealed


@pytest.mark.parametrize(
    "change",
    [{"requires_token": False}, {"patient": "p-2"}, {"address": "https://evil.example.org/wado"}],
    ids=["needs no token", "another patient's study", "an address that is not registered"],
)
def test_else_the_archive_s_own_credentials_do(
    browser: Browser,
    house: House,
    tenant: Tenant,
    launch_of: LaunchOf,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, Any],
) -> None:
    archive = own_credentials(house)
    with imaging_server(house, tenant, monkeypatch) as server:
        for name, value in change.items():
            setattr(server, name, value)
        assert pictured(browser, tenant, launch_of("p-1")) == 200

    assert [path for path, _ in server.asked] == ["/imaging/ImagingStudy"]
    assert archive.fetched == [STUDY_UID]


@pytest.mark.requirement("@97", "@98")
def test_an_imaging_server_that_is_not_registered_never_sees_the_token(
    browser: Browser,
    house: House,
    tenant: Tenant,
    launch_of: LaunchOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = own_credentials(house)
    with imaging_server(house, tenant, monkeypatch, is_registered=False) as server:
        assert pictured(browser, tenant, launch_of("p-1")) == 200

    assert server.asked == [] and archive.fetched == [STUDY_UID]


def test_the_place_may_be_any_archive_that_is_registered(
    browser: Browser,
    house: House,
    tenant: Tenant,
    launch_of: LaunchOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = own_credentials(house)
    with imaging_server(house, tenant, monkeypatch, is_registered=False) as server:
        house.tenants.remove(tenant.id)
        house.tenants.add(replace(tenant, other_archives=(f"{server.origin}/wado",)))
        assert pictured(browser, tenant, launch_of("p-1")) == 200

    assert server.asked and archive.fetched == []


def test_our_own_credentials_are_no_way_around_the_ehr_s_refusal(
    browser: Browser,
    house: House,
    tenant: Tenant,
    launch_of: LaunchOf,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archive = own_credentials(house)
    with imaging_server(house, tenant, monkeypatch) as server:
        server.status = 403
        assert pictured(browser, tenant, launch_of("p-1")) == 502

    assert archive.fetched == []


def test_the_sandbox_gives_its_pictures_for_the_launch_s_own_token(
    browser: Browser, house: House, tenant: Tenant, sandbox: Sandbox
) -> None:
    film, uid = a_film(), "1.2.840.99999.77"
    sandbox.archive.store(film)
    sandbox.fhir.update(a_fhir_patient("p-77", "Heron"))
    sandbox.fhir.update(a_fhir_study("s-77", "p-77", uid))
    house.keep(a_seen_result(film, patient_id="p-77", study_uid=uid, imaging_study_id="s-77"))
    archive = own_credentials(house)

    assert pictured(browser, tenant, LaunchOf(sandbox)("p-77")) == 200
    assert archive.fetched == []


def a_film() -> bytes:
    """The radiograph of `a_finding`, in a study of its own."""
    dataset = dcmread(BytesIO(a_radiograph()))
    finding = a_finding()
    dataset.StudyInstanceUID = "1.2.840.99999.77"
    dataset.SeriesInstanceUID = finding.series_uid
    dataset.SOPInstanceUID = UID(finding.sop_uid)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.Modality, dataset.StudyDate = "DX", "20260102"
    stream = BytesIO()
    dataset.save_as(stream)
    return stream.getvalue()
