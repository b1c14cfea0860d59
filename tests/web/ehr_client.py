"""An EHR that signs its hook calls, and the services behind the front door, for the web tests."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import ECKey, OKPKey, RSAKey

from cds_service.domain.tenant import Tenant
from tests.builders import NOW, a_tenant
from tests.unit.cards.builders import (
    PUBLIC_URL,
    SERVICE_ID,
    a_bundle,
    a_patient_resource,
    a_study_resource,
)

SERVICE_URL = f"{PUBLIC_URL}/cds-services/{SERVICE_ID}"
ISSUER = "https://ehr.example.org"
KID = "a+/key=="  # Epic's are base64


@dataclass
class AnEhr:
    """Holds a key pair; makes tokens and hook bodies."""

    key: ECKey | RSAKey | OKPKey = field(default_factory=lambda: ECKey.generate_key("P-384"))
    alg: str = "ES384"

    def public_keys(self, kid: str = KID) -> str:
        return json.dumps({"keys": [{**self.key.as_dict(private=False), "kid": kid}]})

    def tenant(self, **changes: Any) -> Tenant:
        return a_tenant(**({"hook_issuer": ISSUER, "jwks": self.public_keys()} | changes))

    def claims(self, now: datetime = NOW, **changes: Any) -> dict[str, Any]:
        issued = int(now.timestamp())
        values = {
            "iss": ISSUER,
            "aud": SERVICE_URL,
            "iat": issued,
            "exp": issued + 300,
            "jti": str(uuid4()),
        }
        return {name: value for name, value in (values | changes).items() if value is not None}

    def token(self, *, header: dict[str, Any] | None = None, **changes: Any) -> str:
        full = {"alg": self.alg, "kid": KID, "typ": "JWT"} | (header or {})
        kept = {name: value for name, value in full.items() if value is not None}
        claims = self.claims(**changes)
        return jwt.encode(kept, claims, self.key, algorithms=[kept["alg"]], default_type=None)


def a_hook_body(**changes: Any) -> dict[str, Any]:
    body: dict[str, Any] = {
        "hook": "patient-view",
        "hookInstance": "6bb4c6a2-7b7e-4b7a-9d0f-0d2c64b3c1a1",
        "fhirServer": "http://127.0.0.1:9/fhir",
        "context": {"userId": "Practitioner/1", "patientId": "p-1"},
        "prefetch": {"patient": a_patient_resource(), "studies": a_bundle(a_study_resource())},
    } | changes
    return {name: value for name, value in body.items() if value is not ...}
