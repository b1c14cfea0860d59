"""The demo's EHR as its own backend: it adds patients with a new study, and signs hook calls.

The record is written where the sandbox keeps it, the images go to its archive by STOW-RS, and the
hooks are signed with the sandbox's key, so that the service sees nothing but an EHR.
"""

import json
import uuid
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import requests

from benchmarks.figures import MeasurementFailed
from benchmarks.running_demo import RunningDemo
from cds_service.adapters.client_assertion import ASSERTION_TYPE
from cds_service.sandbox import records
from cds_service.sandbox.config import SandboxConfig
from cds_service.sandbox.multipart import write_parts
from cds_service.sandbox.parts import open_sandbox
from cds_service.sandbox.patients import PATIENTS, PatientRow
from cds_service.sandbox.prefetch import prefetched
from cds_service.sandbox.radiographs import Pictures, instances
from cds_service.sandbox.seed import PICTURES
from cds_service.wiring import open_house

TIMEOUT_S = 10.0
SERVICE = "imaging-ai-findings"
KNOWN_PATIENT = PATIENTS[0]  # analysed while the demo starts


@dataclass(frozen=True, slots=True)
class HookRequest:
    """One signed hook call, ready to be sent once."""

    url: str
    token: str
    body: str  # JSON


def sandbox_config(chart: str, service: str, records: Path) -> SandboxConfig:
    """Return what a sandbox needs that is served at `chart` and calls `service`."""
    return SandboxConfig(
        origin=chart,
        data=records,
        service_base=service,
        app_launch_url=f"{service}/app/launch",
        app_redirect_uris=(f"{service}/app/callback",),
        app_jwks_url=f"{service}/app/.well-known/jwks.json",
    )


class Ehr:
    """A sandbox EHR beside a running service.

    demo     its addresses
    records  the folder of its record and archive
    pictures of its new studies; without them the demo's
    """

    def __init__(self, demo: RunningDemo, records: Path, pictures: Pictures | None = None) -> None:
        config = sandbox_config(demo.chart, demo.service, records)
        self._demo = demo
        self._parts = open_sandbox(config)
        self._assertion = open_house(demo.settings()).assertion
        self._pictures = pictures or Pictures.in_folder(PICTURES)
        self._http = requests.Session()
        self._http.trust_env = False

    def add_patient(self) -> str:
        """Add a patient with one chest X-ray that nobody has seen yet; return the Patient's id."""
        return self.add_patients(1)[0]

    def add_patients(self, count: int) -> list[str]:
        """Add so many, by one and the same token of the archive."""
        bearer = self._bearer("system/ImagingStudy.c")
        return [self._add_patient(bearer) for _ in range(count)]

    def _add_patient(self, bearer: str) -> str:
        row = self._new_row()
        today = self._parts.config.now().date()
        files = instances(row, row.studies[0], self._pictures, today)
        content_type, chunks = write_parts(files)
        stored = self._http.post(
            f"{self._demo.archive}/studies",
            data=b"".join(chunks),
            headers={
                "Content-Type": content_type,
                "Accept": "application/dicom+json",
                "Authorization": bearer,
            },
            timeout=TIMEOUT_S,
        )
        stored.raise_for_status()
        with self._parts.fhir.all_or_nothing():
            for resource in records.chart(row, self._parts.config, today):
                self._parts.fhir.update(resource)
        return row.id

    def hook_requests(
        self, patient_id: str, count: int = 1, *, has_prefetch: bool = True
    ) -> list[HookRequest]:
        """Return `count` patient-view calls about the patient, each with its own JWT.

        Without prefetch, and without a token of the EHR, the service reads with its own.
        """
        url = f"{self._demo.service}/cds-services/{SERVICE}"
        user = self._parts.config.clinician
        context = {"userId": user, "patientId": patient_id, "encounterId": f"{patient_id}-visit"}
        tokens = {f"context.{name}": value for name, value in context.items()}
        tokens["userPractitionerId"] = user.removeprefix("Practitioner/")
        call = {"hook": "patient-view", "fhirServer": self._demo.fhir, "context": context}
        if has_prefetch:
            call["prefetch"] = prefetched(self._parts, self._templates, tokens)
        return [
            HookRequest(
                url,
                self._parts.authorization.sign_hook_jwt(url),
                json.dumps({**call, "hookInstance": str(uuid.uuid4())}),
            )
            for _ in range(count)
        ]

    def send(self, hook: HookRequest) -> dict[str, Any]:
        """Send the hook and return the answer; raise requests.HTTPError."""
        answer = self._http.post(
            hook.url,
            data=hook.body,
            headers={"Content-Type": "application/json", "Authorization": f"Bearer {hook.token}"},
            timeout=TIMEOUT_S,
        )
        answer.raise_for_status()
        return dict(answer.json())

    def observation_reader(self, patient_id: str) -> "ObservationReader":
        """Return what asks for this patient's Observations, with a token of its own."""
        return ObservationReader(
            self._http,
            f"{self._demo.fhir}/Observation?patient={patient_id}",
            self._bearer("system/Observation.rs"),
        )

    def _new_row(self) -> PatientRow:
        mark = uuid.uuid4().hex[:12]
        study = replace(KNOWN_PATIENT.studies[0], accession=f"B-{mark}")
        person = replace(KNOWN_PATIENT.person, mrn=f"SBX-{mark}", family="Benchmark")
        return replace(KNOWN_PATIENT, id=f"b-{mark}", person=person, studies=(study,))

    @cached_property
    def _templates(self) -> dict[str, str]:
        answer = self._http.get(f"{self._demo.service}/cds-services", timeout=TIMEOUT_S)
        answer.raise_for_status()
        services = {service["id"]: service for service in answer.json()["services"]}
        return dict(services[SERVICE].get("prefetch", {}))

    def _bearer(self, scope: str) -> str:
        token_url = self._parts.authorization.token_url
        client_id = self._parts.config.client_id
        answer = self._http.post(
            token_url,
            data={
                "grant_type": "client_credentials",
                "scope": scope,
                "client_assertion_type": ASSERTION_TYPE,
                "client_assertion": self._assertion.sign(client_id, token_url),
            },
            timeout=TIMEOUT_S,
        )
        if not answer.ok:
            raise MeasurementFailed(f"no token: HTTP {answer.status_code} {answer.text}")
        return f"Bearer {answer.json()['access_token']}"


@dataclass(frozen=True, slots=True)
class ObservationReader:
    """One FHIR search, to be asked again and again."""

    http: requests.Session
    url: str
    bearer: str

    def finds_any(self) -> bool:
        """Tell whether the search has a match."""
        headers = {"Authorization": self.bearer, "Accept": "application/fhir+json"}
        answer = self.http.get(self.url, headers=headers, timeout=TIMEOUT_S)
        answer.raise_for_status()
        return bool(answer.json()["total"])
