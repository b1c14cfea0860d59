"""The app over real parts where they matter: vault, egress, Redis, the sandbox's sign-in."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from io import BytesIO
from threading import Thread
from typing import Any, cast
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

import numpy as np
import redis
import requests
from flask import Flask
from joserfc.jwk import KeySetSerialization
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from werkzeug.serving import make_server
from werkzeug.test import Client, TestResponse

from cds_service.adapters.archive import DicomWebArchive
from cds_service.adapters.egress import Egress
from cds_service.adapters.kept_token import Bearer
from cds_service.adapters.model_sheets import sheet_of
from cds_service.adapters.model_shelf import ModelShelf
from cds_service.adapters.pixels import DicomReader
from cds_service.adapters.vault import Vault
from cds_service.domain.finding import Activation, Result
from cds_service.domain.instance_digest import instance_digest
from cds_service.domain.job import Job
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.domain.worklist import Case, Window
from cds_service.sandbox.authorization import SIGHTLINE_SCOPES
from cds_service.sandbox.parts import Sandbox
from cds_service.usecases.ports import EhrRecord
from smart_app import EXTENSION, AppServices, ModelFacts, create_blueprint
from tests.builders import PNEUMONIA, a_finding, a_result, a_signer, an_analysis
from tests.fakes.alerts import FakeAlerts
from tests.fakes.imaging import STUDY_UID, FakeArchive, FakeIndex
from tests.fakes.ledger import (
    FakeAuditLog,
    FakeCardLog,
    FakeDoorbell,
    FakeJobs,
    FakeResults,
    FakeTenants,
)
from tests.fakes.reviews import FakeReviews
from tests.fakes.worklist import FakeWorklist

PUBLIC_URL = "https://sightline.example.org"
SIGNER = a_signer()
SHEET = sheet_of(ModelShelf(None, "cxr_pneumonia_peds"), "cxr_pneumonia_peds")
FACTS = ModelFacts(
    looks_for="signs of pneumonia",
    intended_use="frontal chest X-rays of children aged 1-5",
    does_not_look_for=("pleural effusion", "pneumothorax", "fractures"),
    limits=("Trained on images of one hospital.", "Fine detail is lost."),
)


def utc_now() -> datetime:
    return datetime.now(UTC)


def a_radiograph(values: np.ndarray | None = None) -> bytes:
    """A small DX instance; `values` is (rows, columns) of 12 bits."""
    pixels = np.linspace(0, 4095, 64 * 48).reshape(64, 48) if values is None else values
    dataset = Dataset()
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.840.99999.1.1.1"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.PixelData = pixels.astype("<u2").tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    stream = BytesIO()
    dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def a_warm_map(size: int = 16) -> Activation:
    """One warm spot, left of the middle."""
    y, x = np.mgrid[0:size, 0:size] / size
    heat = np.exp(-((x - 0.32) ** 2 + (y - 0.62) ** 2) / 0.02)
    return Activation(size, size, tuple(float(value) for value in heat.ravel()))


def a_seen_result(instance: bytes, **changes: Any) -> Result:
    """A result whose finding lies in this very instance."""
    analysis = an_analysis(
        findings=(a_finding(activation=a_warm_map()),),
        instance_digests=(instance_digest(instance),),
    )
    return a_result(**({"analysis": analysis} | changes))


class CountingEgress(Egress):
    """The real door, which also counts how often somebody went to it."""

    def __init__(self) -> None:
        super().__init__()
        self.visits = 0

    def session_for(
        self, tenant: Tenant, *, also: Iterable[str] = (), **limits: Any
    ) -> requests.Session:
        self.visits += 1
        return super().session_for(tenant, also=also, **limits)


@dataclass
class House:
    """The app, and everything around it that a test sets or asks."""

    ehr: EhrRecord
    redis: redis.Redis
    tenants: FakeTenants = field(default_factory=FakeTenants)
    instance: bytes = field(default_factory=a_radiograph)
    now: Callable[[], datetime] = utc_now

    def __post_init__(self) -> None:
        self.results = FakeResults()
        self.jobs = FakeJobs(clock=lambda: self.now())
        self.reviews = FakeReviews(lambda: self.now())
        self.doorbell = FakeDoorbell()
        self.audit = FakeAuditLog()
        self.index = FakeIndex()
        self.egress = CountingEgress()
        self.app = Flask(__name__)
        self.app.register_blueprint(create_blueprint())
        self.app.extensions[EXTENSION] = AppServices(
            public_url=PUBLIC_URL,
            label="Reference model for development and evaluation. Not a medical device.",
            tenants=self.tenants,
            results=self.results,
            jobs=self.jobs,
            line=self.jobs,
            lost_jobs=self.jobs,
            reviews=self.reviews,
            review_writes=self.reviews.writes,
            worklist=LatestWork(self),
            alerts=FakeAlerts(FakeCardLog(), self.reviews),
            doorbell=self.doorbell,
            dispatch=self.dispatch,
            audit=self.audit,
            vault=Vault(b"k" * 32),
            redis=self.redis,
            egress=self.egress,
            assertions=SIGNER,
            ehr=self.ehr,
            index=self.index,
            archive=FakeArchive({STUDY_UID: [self.instance]}),
            archive_as=lambda token: DicomWebArchive(
                self.egress.session_for, lambda *_, **__: Bearer(token), only_at_study=True
            ),
            read_pixels=lambda instance, frame: DicomReader().pixels(instance, frame).values,
            read_header=DicomReader().header,
            model_facts=lambda model: FACTS,
            model_sheet=lambda model_id: SHEET if model_id == "cxr_pneumonia_peds" else None,
            looked_for=(PNEUMONIA,),
            modalities=("DX", "CR"),
            count_sign_in=lambda address: None,
            clock=lambda: self.now(),
            new_id=lambda: uuid4().hex,
        )

    def dispatch(self, study: StudyReference, patient: PatientFacts) -> Job:
        """Open a job for the study, as dispatch_inference does."""
        return self.jobs.open(study.study_uid, study, patient, "cxr_pneumonia_peds")[0]

    def swap(self, **collaborators: Any) -> None:
        """Replace collaborators of the running app."""
        services = self.app.extensions[EXTENSION]
        self.app.extensions[EXTENSION] = replace(services, **collaborators)

    def keep(self, *results: Result) -> None:
        """Put results into the ledger."""
        self.results = FakeResults(stored=[*self.results.all, *results])
        self.swap(results=self.results)

    def browser(self) -> "Browser":
        return Browser(self.app.test_client())


@dataclass
class LatestWork:
    """Worklist, over what this house holds at the moment."""

    house: House

    def cases(self, tenant_id: str, window: Window, **bounds: Any) -> list[Case]:
        held = FakeWorklist(self.house.jobs, self.house.results)
        return held.cases(tenant_id, window, **bounds)


@dataclass
class Browser:
    """A browser with cookies of its own."""

    client: Client

    def get(self, address: str, **headers: str) -> TestResponse:
        return self.client.get(_path(address), base_url=PUBLIC_URL, headers=headers, buffered=True)

    def post(self, address: str, **form: str) -> TestResponse:
        return self.client.post(_path(address), base_url=PUBLIC_URL, data=form)

    def to_authorize(self, iss: str, launch: str, **query: str) -> str:
        """Start a launch; return the authorization request as an address, however it is sent."""
        return self.handed_over({"iss": iss, "launch": launch, **query})

    def handed_over(self, query: Mapping[str, str]) -> str:
        """Go to our launch address; return the authorization request that it leads to."""
        tested = self.client.get("/app/launch", query_string=query, base_url=PUBLIC_URL)
        assert tested.status_code == 303, tested.text
        answer = self.get(tested.location)
        if answer.status_code == 303:
            return answer.location
        assert answer.status_code == 200, answer.text
        form = Form.in_page(answer.text)
        return f"{form.action}?{urlencode(form.values)}"

    def to_callback(self, iss: str, launch: str, **query: str) -> str:
        """Sign in as well; return the callback's address with its code."""
        address = self.to_authorize(iss, launch, **query)
        answer = requests.get(address, allow_redirects=False, timeout=60)
        assert answer.status_code == 303, answer.text
        return answer.headers["Location"]

    def open(self, iss: str, launch: str, **query: str) -> str:
        """Launch to the end; return the address of the study page."""
        answer = self.get(self.to_callback(iss, launch, **query))
        assert answer.status_code == 303, answer.text
        return answer.location


class Form(HTMLParser):
    """The one form of a page: where it goes, and what it sends."""

    def __init__(self) -> None:
        super().__init__()
        self.action, self.method = "", ""
        self.values: dict[str, str] = {}

    @classmethod
    def in_page(cls, page: str) -> "Form":
        form = cls()
        form.feed(page)
        return form

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action, self.method = given["action"], given["method"]
        elif tag == "input" and given.get("type") == "hidden":
            self.values[given["name"]] = given["value"]


def _path(address: str) -> str:
    parts = urlsplit(address)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def query_of(address: str) -> Mapping[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


@contextmanager
def listening(application: Any, port: int = 0) -> Iterator[int]:
    """Serve a WSGI application on a loopback port."""
    server = make_server("127.0.0.1", port, application, threaded=True)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def register_app(sandbox: Sandbox, public_url: str) -> None:
    """Register the app's client, at this address, with its public keys."""
    keys = cast(KeySetSerialization, SIGNER.public_jwks())
    callbacks = (f"{public_url}/app/callback",)
    sandbox.authorization.register_client("sightline", keys, callbacks, SIGHTLINE_SCOPES)


def fill_charts(sandbox: Sandbox) -> None:
    """Put two patients with a study each into the record."""
    for patient_id, family in (("p-1", "Finch"), ("p-2", "Sparrow")):
        sandbox.fhir.update(a_fhir_patient(patient_id, family))
    sandbox.fhir.update(a_fhir_study("s-1", "p-1", "1.2.840.99999.1"))
    sandbox.fhir.update(a_fhir_study("s-2", "p-2", "1.2.840.99999.2"))


def a_fhir_patient(patient_id: str = "p-1", family: str = "Finch") -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": patient_id,
        "name": [{"use": "official", "family": family, "given": ["Ada", "May"]}],
        "gender": "female",
        "birthDate": "2022-06-01",
    }


def a_fhir_study(study_id: str, patient_id: str, uid: str) -> dict[str, Any]:
    return {
        "resourceType": "ImagingStudy",
        "id": study_id,
        "status": "available",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
        "subject": {"reference": f"Patient/{patient_id}"},
        "started": "2026-01-02T08:30:00Z",
        "description": "Chest X-ray",
    }
