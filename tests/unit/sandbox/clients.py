"""A SMART client under the test's control, and builders of what it talks about."""

import base64
import hashlib
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from flask.testing import FlaskClient
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from werkzeug.test import TestResponse

from cds_service.sandbox.config import SandboxConfig
from cds_service.sandbox.parts import Sandbox

ORIGIN = "http://localhost:8001"
REDIRECT = "http://127.0.0.1:8000/app/callback"
ALL_SCOPES = (
    "launch launch/patient openid fhirUser online_access"
    " patient/*.cruds user/*.cruds system/*.cruds"
)
VERIFIER = "v" * 64
MRN = "http://hospital.example/mrn"


class Clock:
    """A clock that stands still until a test moves it."""

    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def forward(self, **by: float) -> None:
        self.moment += timedelta(**by)


def a_config(data: Path, now: Clock, **changes: Any) -> SandboxConfig:
    config = SandboxConfig(
        origin=ORIGIN,
        data=data,
        service_base="http://127.0.0.1:8000",
        app_launch_url="http://127.0.0.1:8000/app/launch",
        app_redirect_uris=(REDIRECT,),
        app_jwks_url="http://127.0.0.1:9/jwks.json",
        now=now,
    )
    return replace(config, **changes)


def a_patient(id_: str, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": id_,
        "identifier": [{"system": MRN, "value": f"MRN-{id_}"}],
        "name": [{"family": "Example", "given": [id_.upper()]}],
        "birthDate": "2022-06-01",
        **changes,
    }


def a_study(patient: str, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "ImagingStudy",
        "id": f"study-{patient}",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{study_uid(patient)}"}],
        "status": "available",
        "subject": {"reference": f"Patient/{patient}"},
        "started": "2026-01-02T08:30:00Z",
        "series": [
            {
                "uid": f"{study_uid(patient)}.1",
                "modality": {
                    "system": "http://dicom.nema.org/resources/ontology/DCM",
                    "code": "DX",
                },
            }
        ],
        **changes,
    }


def study_uid(patient: str) -> str:
    return f"1.2.826.0.1.3680043.10.1.{patient.removeprefix('p')}"


def an_observation(patient: str, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": f"finding-{patient}",
        "status": "preliminary",
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "233604007"}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": "2026-01-02T08:30:00Z",
        **changes,
    }


def without_id(resource: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in resource.items() if name != "id"}


@dataclass
class App:
    """A confidential client; every method is one request, its arguments what a test changes."""

    parts: Sandbox
    http: FlaskClient
    clock: Clock
    key: ECKey | RSAKey
    client_id: str = "app"

    @classmethod
    def registered(
        cls, parts: Sandbox, http: FlaskClient, clock: Clock, *, scopes: str = ALL_SCOPES
    ) -> "App":
        key = ECKey.generate_key("P-384", {"use": "sig", "alg": "ES384"}, auto_kid=True)
        app = cls(parts, http, clock, key)
        parts.authorization.register_client("app", app.jwks(), [REDIRECT], scopes)
        return app

    def jwks(self) -> Any:
        return KeySet([self.key]).as_dict(private=False)

    def launch(self, patient: str | None = "p1", **more: Any) -> str:
        return self.parts.authorization.new_launch(
            patient, "Practitioner/clinician", client_id=self.client_id, **more
        )

    def authorize_params(self, **changes: Any) -> dict[str, Any]:
        challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest())
        params = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT,
            "scope": "launch openid fhirUser patient/Patient.rs",
            "state": "state-1",
            "nonce": "nonce-1",
            "aud": f"{ORIGIN}/fhir",
            "code_challenge": challenge.decode().rstrip("="),
            "code_challenge_method": "S256",
        } | changes
        return {name: value for name, value in params.items() if value is not None}

    def authorize(self, **changes: Any) -> TestResponse:
        if "launch" not in changes:
            changes["launch"] = self.launch()
        return self.http.get("/auth/authorize", query_string=self.authorize_params(**changes))

    def code(self, **changes: Any) -> str:
        return answer_of(self.authorize(**changes))["code"]

    def assertion(self, header: dict[str, Any] | None = None, **changes: Any) -> str:
        claims = {
            "iss": self.client_id,
            "sub": self.client_id,
            "aud": f"{ORIGIN}/auth/token",
            "exp": int(self.clock().timestamp()) + 300,
            "jti": str(uuid.uuid4()),
        } | changes
        claims = {name: value for name, value in claims.items() if value is not None}
        alg = str(self.key.as_dict(private=False)["alg"])
        full = {"alg": alg, "kid": self.key.kid, "typ": "JWT"} | (header or {})
        return jwt.encode(full, claims, self.key, algorithms=["ES384", "RS384", "RS256"])

    def token(self, **changes: Any) -> TestResponse:
        form = {
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": changes.pop("assertion", None) or self.assertion(),
        } | changes
        return self.http.post("/auth/token", data=form)

    def redeem(self, code: str, **changes: Any) -> TestResponse:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": REDIRECT,
            "code_verifier": VERIFIER,
        } | changes
        return self.token(**form)

    def launched(self, scope: str, patient: str | None = "p1") -> dict[str, str]:
        """Return the headers of a token from an EHR launch about this patient."""
        launch = self.launch(patient)
        return bearer(self.redeem(self.code(scope=f"launch {scope}", launch=launch)))

    def backend(self, scope: str) -> dict[str, str]:
        """Return the headers of a Backend Services token."""
        return bearer(self.token(grant_type="client_credentials", scope=scope))


def bearer(response: TestResponse) -> dict[str, str]:
    assert response.status_code == 200, response.get_data(as_text=True)
    return {"Authorization": f"Bearer {response.get_json()['access_token']}"}


def answer_of(response: TestResponse) -> dict[str, str]:
    """Return the parameters the browser is sent back to the app with."""
    assert response.status_code == 303, response.get_data(as_text=True)
    url = urlsplit(response.headers["Location"])
    assert f"{url.scheme}://{url.netloc}{url.path}" == REDIRECT
    return {name: values[0] for name, values in parse_qs(url.query).items()}


def issue(response: TestResponse) -> dict[str, Any]:
    """Return the one issue of an OperationOutcome answer."""
    assert response.mimetype == "application/fhir+json"
    outcome = response.get_json(force=True)
    assert outcome["resourceType"] == "OperationOutcome"
    first: dict[str, Any] = outcome["issue"][0]
    return first
