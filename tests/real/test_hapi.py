"""HAPI FHIR as the tests run it: scopes hold, searches filter, creates are conditional.

Source: SMART App Launch 2.2 (scopes), RFC 7662 (introspection), FHIR R4 http.html#transaction.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import pytest
import requests

from tests.real.servers import hapi

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("hapi")]

Json = dict[str, Any]
SYSTEM = "urn:ietf:rfc:3986"


class AuthorizationServer(ThreadingHTTPServer):
    """An introspection endpoint (RFC 7662) over the tokens that this test handed out."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Introspection)
        self.tokens: dict[str, Json] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def issue(self, scope: str, **claims: str) -> str:
        token = uuid4().hex
        self.tokens[token] = {"active": True, "scope": scope, **claims}
        return token


class Introspection(BaseHTTPRequestHandler):
    """Answers the holder of a token in force, as the sandbox does; others get 401."""

    server: AuthorizationServer

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        answer = self.server.tokens.get(form["token"][0], {"active": False})
        self.send_response(200 if bearer in self.server.tokens else 401)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Stay quiet: a request line is of no use in a test's output."""


@contextmanager
def an_authorization_server() -> Iterator[AuthorizationServer]:
    with AuthorizationServer() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Fhir:
    """HAPI with its authorization server; each call carries a new token with the scopes given."""

    base: str
    issuer: AuthorizationServer

    def call(
        self, method: str, path: str, body: Json | None = None, /, **options: Any
    ) -> requests.Response:
        claims: dict[str, str] = options.get("claims", {})
        token = self.issuer.issue(options.get("scope", "system/*.cruds"), **claims)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"}
        return requests.request(
            method,
            f"{self.base}/{path}".rstrip("/"),
            json=body,
            headers=headers | options.get("headers", {}),
            timeout=120,
        )

    def found(self, query: str, **options: Any) -> list[Json]:
        """Return the resources that a search answers with."""
        answer = self.call("GET", query, **options)
        assert answer.status_code == 200, answer.text
        return [entry["resource"] for entry in answer.json().get("entry", [])]


@pytest.fixture(scope="module")
def fhir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fhir]:
    with (
        an_authorization_server() as issuer,
        hapi(
            tmp_path_factory.mktemp("hapi"),
            introspection=f"{issuer.url}/introspect",
            issuer=issuer.url,
            authorize=f"{issuer.url}/authorize",
            token=f"{issuer.url}/token",
            jwks=f"{issuer.url}/jwks",
        ) as base,
    ):
        yield Fhir(base, issuer)


def a_new_id() -> str:
    return uuid4().hex


def an_observation(patient: str, *, identifier: str | None = None) -> Json:
    return {
        "resourceType": "Observation",
        "identifier": [{"system": SYSTEM, "value": identifier or uuid4().urn}],
        "status": "preliminary",
        "code": {"text": "pneumonia"},
        "subject": {"reference": patient},
    }


def a_transaction(*entries: Json) -> Json:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def a_create(resource: Json, *, if_none_exist: str | None = None) -> Json:
    request = {"method": "POST", "url": resource["resourceType"]}
    if if_none_exist:
        request["ifNoneExist"] = if_none_exist
    return {"fullUrl": uuid4().urn, "resource": resource, "request": request}


def test_the_capabilities_and_the_smart_configuration_need_no_token(fhir: Fhir) -> None:
    capabilities = requests.get(f"{fhir.base}/metadata", timeout=120).json()
    smart = requests.get(f"{fhir.base}/.well-known/smart-configuration", timeout=120).json()

    assert capabilities["fhirVersion"] == "4.0.1"
    (searches,) = (
        {parameter["name"] for parameter in resource["searchParam"]}
        for resource in capabilities["rest"][0]["resource"]
        if resource["type"] == "Device"
    )
    assert searches == {"_id", "identifier", "patient"}
    assert smart["issuer"] == fhir.issuer.url
    assert smart["token_endpoint"] == f"{fhir.issuer.url}/token"
    assert smart["introspection_endpoint"] == f"{fhir.issuer.url}/introspect"


def test_without_a_token_the_answer_is_401_with_a_challenge(fhir: Fhir) -> None:
    answer = requests.post(
        f"{fhir.base}/Observation", json=an_observation("Patient/p"), timeout=120
    )

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_token_that_is_not_active_is_refused(fhir: Fhir) -> None:
    answer = fhir.call("GET", "Patient", headers={"Authorization": "Bearer unknown"})

    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize(
    ("scope", "method", "status"),
    [
        ("system/Observation.rs", "POST", 403),
        ("system/ImagingStudy.cruds", "POST", 403),
        ("system/*.read", "POST", 403),
        ("launch openid fhirUser", "POST", 403),
        ("system/Observation.c?category=imaging", "POST", 403),
        ("system/Observation.c", "POST", 201),
        ("user/Observation.write", "POST", 201),
        ("system/*.*", "POST", 201),
        ("system/Observation.c", "GET", 403),
        ("system/Observation.r", "GET", 403),
        ("system/Observation.rs", "GET", 200),
        ("system/*.read", "GET", 200),
    ],
)
def test_each_interaction_needs_its_scope(fhir: Fhir, scope: str, method: str, status: int) -> None:
    body = an_observation("Patient/p") if method == "POST" else None

    answer = fhir.call(method, "Observation", body, scope=scope)

    assert answer.status_code == status
    if status == 403:
        assert answer.json()["resourceType"] == "OperationOutcome"


def test_a_patient_scope_reaches_that_patient_alone(fhir: Fhir) -> None:
    mine, other = a_new_id(), a_new_id()
    allowed = {"scope": "patient/Observation.crus", "claims": {"patient": mine}}
    created = fhir.call("POST", "Observation", an_observation(f"Patient/{other}")).json()

    refused = fhir.call("POST", "Observation", an_observation(f"Patient/{other}"), **allowed)
    stored = fhir.call("POST", "Observation", an_observation(f"Patient/{mine}"), **allowed)
    taken_over = fhir.call(
        "PUT",
        f"Observation/{created['id']}",
        an_observation(f"Patient/{mine}") | {"id": created["id"]},
        **allowed,
    )

    assert (refused.status_code, stored.status_code, taken_over.status_code) == (403, 201, 403)
    seen = fhir.found("Observation", **allowed)
    assert [resource["id"] for resource in seen] == [stored.json()["id"]]
    assert fhir.call("GET", f"Observation/{created['id']}", **allowed).status_code == 404


def test_a_transaction_resolves_urn_uuid_references(fhir: Fhir) -> None:
    patient = a_create({"resourceType": "Patient"})
    observation = a_create(an_observation(patient["fullUrl"]))

    answer = fhir.call("POST", "", a_transaction(patient, observation))

    assert answer.status_code == 200
    statuses = [entry["response"]["status"] for entry in answer.json()["entry"]]
    assert statuses == ["201 Created", "201 Created"]
    stored = [
        entry["response"]["location"].split("/_history")[0] for entry in answer.json()["entry"]
    ]
    (found,) = fhir.found(f"Observation?patient={stored[0]}")
    assert f"Observation/{found['id']}" == stored[1]
    assert found["subject"]["reference"] == stored[0]


def test_a_second_transaction_with_if_none_exist_creates_nothing_new(fhir: Fhir) -> None:
    patient, urn = f"Patient/{a_new_id()}", uuid4().urn
    observation = an_observation(patient, identifier=urn)
    create = a_create(observation, if_none_exist=f"identifier={SYSTEM}|{urn}")
    report = a_create(
        {
            "resourceType": "DiagnosticReport",
            "status": "preliminary",
            "code": {"text": "chest"},
            "subject": {"reference": patient},
            "result": [{"reference": create["fullUrl"]}],
        }
    )

    first = fhir.call("POST", "", a_transaction(create)).json()
    second = fhir.call("POST", "", a_transaction(create, report)).json()

    assert first["entry"][0]["response"]["status"] == "201 Created"
    assert second["entry"][0]["response"]["status"] == "200 OK"
    (found,) = fhir.found(f"Observation?identifier={SYSTEM}|{urn}")
    (written,) = fhir.found(f"DiagnosticReport?patient={patient}")
    assert written["result"][0]["reference"] == f"Observation/{found['id']}"
    assert found["meta"]["versionId"] == "1"


def test_a_transaction_puts_under_the_clients_own_id(fhir: Fhir) -> None:
    device = {"resourceType": "Device", "id": a_new_id(), "modelNumber": "1"}
    put = {
        "resource": device,
        "request": {"method": "PUT", "url": f"Device/{device['id']}"},
    }

    first = fhir.call("POST", "", a_transaction(put)).json()
    second = fhir.call("POST", "", a_transaction(put)).json()

    assert first["entry"][0]["response"]["status"] == "201 Created"
    assert second["entry"][0]["response"]["status"] == "200 OK"
    assert second["entry"][0]["response"]["etag"] == 'W/"2"'


@pytest.mark.parametrize(
    ("scope", "reference", "status"),
    [
        ("system/Patient.c", None, 403),
        ("system/*.c", "urn:uuid:00000000-0000-4000-8000-000000000000", 400),
    ],
    ids=["a scope is missing for one entry", "a reference names no entry"],
)
def test_a_refused_transaction_leaves_nothing_behind(
    fhir: Fhir, scope: str, reference: str | None, status: int
) -> None:
    mark = uuid4().urn
    patient = a_create(
        {"resourceType": "Patient", "identifier": [{"system": SYSTEM, "value": mark}]}
    )
    observation = a_create(an_observation(reference or patient["fullUrl"]))

    answer = fhir.call("POST", "", a_transaction(patient, observation), scope=scope)

    assert answer.status_code == status
    assert fhir.found(f"Patient?identifier={SYSTEM}|{mark}") == []


def test_if_none_exist_on_a_create_answers_with_the_one_there_is(fhir: Fhir) -> None:
    urn = uuid4().urn
    condition = {"If-None-Exist": f"identifier={SYSTEM}|{urn}"}
    observation = an_observation("Patient/p", identifier=urn)

    first = fhir.call("POST", "Observation", observation, headers=condition)
    second = fhir.call("POST", "Observation", observation, headers=condition)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json()["id"] == second.json()["id"]


def test_an_update_of_an_old_version_is_refused(fhir: Fhir) -> None:
    created = fhir.call("POST", "Observation", an_observation("Patient/p")).json()
    path = f"Observation/{created['id']}"
    final = created | {"status": "final"}

    updated = fhir.call("PUT", path, final, headers={"If-Match": 'W/"1"'})
    stale = fhir.call("PUT", path, final, headers={"If-Match": 'W/"1"'})

    assert (updated.status_code, stale.status_code) == (200, 412)
    assert fhir.call("GET", path).json()["meta"]["versionId"] == "2"


def test_a_search_by_identifier_finds_exactly_one(fhir: Fhir) -> None:
    urn = uuid4().urn
    fhir.call("POST", "Observation", an_observation("Patient/p"))
    fhir.call("POST", "Observation", an_observation("Patient/p", identifier=urn))

    assert len(fhir.found(f"Observation?identifier={SYSTEM}|{urn}")) == 1
    assert len(fhir.found(f"Observation?identifier={urn}")) == 1
    assert fhir.found(f"Observation?identifier=urn:other|{urn}") == []


@pytest.mark.parametrize("query", ["patient={0}", "patient=Patient/{0}", "subject=Patient/{0}"])
def test_a_search_by_patient_leaves_the_others_out(fhir: Fhir, query: str) -> None:
    mine, other = a_new_id(), a_new_id()
    for patient in (mine, other, mine):
        fhir.call("POST", "Observation", an_observation(f"Patient/{patient}"))

    found = fhir.found("Observation?" + query.format(mine))

    assert [resource["subject"]["reference"] for resource in found] == [f"Patient/{mine}"] * 2


def test_a_study_is_found_by_patient_and_identifier_together(fhir: Fhir) -> None:
    patient, urn = a_new_id(), uuid4().urn
    for value in (urn, uuid4().urn):
        study = {
            "resourceType": "ImagingStudy",
            "identifier": [{"system": "urn:dicom:uid", "value": value}],
            "status": "available",
            "subject": {"reference": f"Patient/{patient}"},
        }
        fhir.call("POST", "ImagingStudy", study)

    together = f"ImagingStudy?identifier=urn:dicom:uid|{urn}&patient="

    assert len(fhir.found(together + patient)) == 1
    assert fhir.found(together + a_new_id()) == []


def test_a_long_result_comes_in_pages(fhir: Fhir) -> None:
    patient = f"Patient/{a_new_id()}"
    for _ in range(3):
        fhir.call("POST", "Observation", an_observation(patient))

    first = fhir.call("GET", f"Observation?patient={patient}&_count=2").json()
    (following,) = (link["url"] for link in first["link"] if link["relation"] == "next")
    second = fhir.call("GET", following.removeprefix(fhir.base)).json()

    assert first["total"] == 3
    ids = {entry["resource"]["id"] for page in (first, second) for entry in page["entry"]}
    assert len(first["entry"]) == 2 and len(ids) == 3


def test_studies_come_in_the_order_asked_for(fhir: Fhir) -> None:
    patient = a_new_id()
    for started in ("2026-01-02", "2026-01-04T10:00:00Z", "2025-12-31"):
        study = {
            "resourceType": "ImagingStudy",
            "status": "available",
            "subject": {"reference": f"Patient/{patient}"},
            "started": started,
        }
        assert fhir.call("POST", "ImagingStudy", study).status_code == 201

    newest_first = fhir.found(f"ImagingStudy?patient={patient}&_sort=-started&_count=20")

    days = [study["started"][:10] for study in newest_first]
    assert days == ["2026-01-04", "2026-01-02", "2025-12-31"]


def test_a_provenance_is_found_by_what_it_is_about(fhir: Fhir) -> None:
    target = f"Observation/{a_new_id()}"
    for reference in (target, f"Observation/{a_new_id()}"):
        provenance = {
            "resourceType": "Provenance",
            "target": [{"reference": reference}],
            "recorded": "2026-01-02T03:04:05Z",
            "agent": [{"who": {"display": "model"}}],
        }
        assert fhir.call("POST", "Provenance", provenance).status_code == 201

    (found,) = fhir.found(f"Provenance?target={target}")

    assert found["target"] == [{"reference": target}]


def test_a_deleted_resource_is_gone_and_needs_its_own_scope(fhir: Fhir) -> None:
    patient = f"Patient/{a_new_id()}"
    path = f"Observation/{fhir.call('POST', 'Observation', an_observation(patient)).json()['id']}"

    refused = fhir.call("DELETE", path, scope="system/Observation.crus")
    deleted = fhir.call("DELETE", path, scope="system/Observation.d")

    assert (refused.status_code, deleted.status_code) == (403, 204)
    assert fhir.call("GET", path).status_code == 410
    assert fhir.found(f"Observation?patient={patient}") == []


@pytest.mark.parametrize(
    "query",
    [
        "Observation?bogus=1",
        "Observation?_bogus=1",
        "Observation?patient.name=x",
        "Observation?patient=1&_sort=bogus",
        "Patient?patient=1",
    ],
)
def test_an_unknown_search_parameter_is_refused(fhir: Fhir, query: str) -> None:
    answer = fhir.call("GET", query)

    assert answer.status_code == 400
    assert answer.json()["resourceType"] == "OperationOutcome"


@pytest.mark.parametrize("wrong", [{"status": "bogus"}, {"invented": 1}])
def test_a_resource_that_breaks_r4_is_refused(fhir: Fhir, wrong: Json) -> None:
    answer = fhir.call("POST", "Observation", an_observation("Patient/p") | wrong)

    assert answer.status_code == 400
