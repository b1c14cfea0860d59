"""The FHIR server over HTTP: interactions, refusals, and whose data a token reaches."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from flask.testing import FlaskClient

from cds_service.sandbox.app import create_sandbox
from cds_service.sandbox.fhir_types import TYPES
from cds_service.sandbox.parts import EXTENSION, Sandbox
from tests.unit.sandbox.clients import (
    MRN,
    ORIGIN,
    App,
    Clock,
    a_config,
    a_patient,
    a_study,
    an_observation,
    issue,
    without_id,
)

FHIR = "application/fhir+json"


@pytest.fixture
def system(app: App) -> dict[str, str]:
    """Headers of a Backend Services client that may do everything."""
    return app.backend("system/*.cruds")


def ids(response: Any) -> list[str]:
    bundle = response.get_json(force=True)
    assert response.status_code == 200, bundle
    get_fhir_model_class("Bundle").model_validate(bundle)
    return [entry["resource"]["id"] for entry in bundle.get("entry", [])]


# -- reading


def test_a_read_carries_version_and_time(http: FlaskClient, system: dict[str, str]) -> None:
    response = http.get("/fhir/Patient/p1", headers=system)

    assert response.status_code == 200 and response.mimetype == FHIR
    assert response.headers["ETag"] == 'W/"1"'
    assert response.headers["Last-Modified"] == "Mon, 05 Jan 2026 09:00:00 GMT"
    assert response.get_json(force=True)["meta"]["versionId"] == "1"


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/fhir/Patient/nobody", 404, "not-found"),
        ("/fhir/Medication/1", 404, "not-supported"),
        ("/fhir/Medication", 404, "not-supported"),
        ("/fhir/Patient/p1/_history/1", 404, "not-found"),
        ("/fhir/Patient?colour=blue", 400, "not-supported"),
        ("/fhir/Patient?name:exact=Example", 400, "not-supported"),
        ("/fhir/Patient?_count=many", 400, "not-supported"),
        ("/fhir/Patient?identifier=", 400, "not-supported"),
        ("/fhir/Patient?_include=Patient:link", 400, "not-supported"),
        ("/fhir/ImagingStudy?started=yesterday", 400, "not-supported"),
        ("/fhir/ImagingStudy?started=2026-13-01", 400, "not-supported"),
        ("/fhir/ImagingStudy?_sort=modality", 400, "not-supported"),
        ("/fhir/Patient/p1?_format=xml", 406, "not-supported"),
    ],
)
def test_what_cannot_be_read_says_why(
    http: FlaskClient, system: dict[str, str], path: str, status: int, code: str
) -> None:
    response = http.get(path, headers=system)

    assert (response.status_code, issue(response)["code"]) == (status, code)


def test_a_client_that_wants_xml_gets_406(http: FlaskClient, system: dict[str, str]) -> None:
    accepts = {
        "application/fhir+xml": 406,
        "application/fhir+json;q=0, text/html": 406,
        "application/fhir+json; fhirVersion=4.0": 200,
        "application/json": 200,
        "text/html, */*;q=0.1": 200,
    }

    answers = {
        accept: http.get("/fhir/Patient/p1", headers=system | {"Accept": accept}).status_code
        for accept in accepts
    }

    assert answers == accepts


def test_an_unsupported_method_gets_405_with_an_outcome(
    http: FlaskClient, system: dict[str, str]
) -> None:
    response = http.delete("/fhir/Patient/p1", headers=system)

    assert response.status_code == 405 and issue(response)["code"] == "not-supported"
    assert "GET" in response.headers["Allow"] and "DELETE" not in response.headers["Allow"]


# -- searching


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("Patient", ["p1", "p2"]),
        ("Patient?_id=p1", ["p1"]),
        ("Patient?_id=p1,p2", ["p1", "p2"]),
        (f"Patient?identifier={MRN}|MRN-p2", ["p2"]),
        ("Patient?identifier=MRN-p2", ["p2"]),
        (f"Patient?identifier={MRN}|", ["p1", "p2"]),
        ("Patient?identifier=|MRN-p2", []),
        ("Patient?name=exam", ["p1", "p2"]),
        ("Patient?name=%25", []),
        ("Patient?birthdate=2022", ["p1", "p2"]),
        ("Patient?birthdate=lt2022-06-01", []),
        ("ImagingStudy?patient=p1", ["study-p1"]),
        ("ImagingStudy?patient=Patient/p1", ["study-p1"]),
        ("ImagingStudy?subject=Patient/p1", ["study-p1"]),
        ("ImagingStudy?patient=p1&patient=p2", []),
        ("ImagingStudy?patient=p1,p2", ["study-p1", "study-p2"]),
        ("ImagingStudy?modality=DX&status=available&patient=p1", ["study-p1"]),
        ("ImagingStudy?modality=CT", []),
        ("ImagingStudy?started=ge2026-01-02&patient=p1", ["study-p1"]),
        ("ImagingStudy?started=gt2026-01-02", []),
        ("ImagingStudy?started=2026-01&patient=p1", ["study-p1"]),
        ("ImagingStudy?_lastUpdated=gt2026-01-05T09:00:01Z", []),
        ("Observation?code=http://snomed.info/sct|233604007&patient=p2", ["finding-p2"]),
        ("Observation?code=http://loinc.org|233604007", []),
        ("Observation?_id=unknown", []),
        ("Encounter?date=2026-01-03", []),
        ("Encounter?date=ge2026-01-03", ["visit"]),
        ("Encounter?date=lt2026-01-03", ["visit"]),
        ("Encounter?date=eb2026-01-03", []),
    ],
)
def test_a_search_finds_what_matches_all_of_it(
    http: FlaskClient, system: dict[str, str], parts: Sandbox, search: str, found: list[str]
) -> None:
    parts.fhir.update(an_open_visit("p1"))

    assert sorted(ids(http.get(f"/fhir/{search}", headers=system))) == found


def an_open_visit(patient: str) -> dict[str, Any]:
    return {
        "resourceType": "Encounter",
        "id": "visit",
        "status": "in-progress",
        "class": {"code": "AMB"},
        "subject": {"reference": f"Patient/{patient}"},
        "period": {"start": "2026-01-02"},
    }


def test_a_search_by_form_keeps_its_words_out_of_the_address(
    http: FlaskClient, system: dict[str, str]
) -> None:
    form = {"identifier": f"{MRN}|MRN-p2"}

    assert ids(http.post("/fhir/Patient/_search", data=form, headers=system)) == ["p2"]
    mixed = http.post("/fhir/Patient/_search?_id=p1", data=form, headers=system)
    assert mixed.status_code == 400
    assert http.post("/fhir/Patient/_search", json=form, headers=system).status_code == 415


def test_studies_are_sorted_by_their_start_either_way(
    http: FlaskClient, system: dict[str, str], parts: Sandbox
) -> None:
    parts.fhir.update(a_study("p1", id="older", started="2025-03-01"))
    parts.fhir.update({**without_id(a_study("p1")), "id": "undated", "started": "2027"})

    newest = ids(http.get("/fhir/ImagingStudy?patient=p1&_sort=-started", headers=system))
    oldest = ids(http.get("/fhir/ImagingStudy?patient=p1&_sort=started", headers=system))

    assert newest == ["undated", "study-p1", "older"] and oldest == newest[::-1]


def test_pages_follow_each_other_without_loss(
    http: FlaskClient, system: dict[str, str], parts: Sandbox
) -> None:
    for number in range(5):
        parts.fhir.update(a_study("p1", id=f"s{number}"))
    url, seen, pages = "/fhir/ImagingStudy?patient=p1&_count=2", [], 0

    while url:
        page = http.get(url, headers=system)
        seen += ids(page)
        bundle = page.get_json(force=True)
        links = {link["relation"]: link["url"] for link in bundle["link"]}
        url, pages = links.get("next", "").removeprefix(ORIGIN), pages + 1
        assert bundle["total"] == 6 and links["self"].startswith(f"{ORIGIN}/fhir/ImagingStudy?")

    assert pages == 3 and sorted(seen) == ["s0", "s1", "s2", "s3", "s4", "study-p1"]


def test_count_zero_tells_the_total_only(http: FlaskClient, system: dict[str, str]) -> None:
    bundle = http.get("/fhir/Patient?_count=0", headers=system).get_json(force=True)

    assert bundle["total"] == 2 and "entry" not in bundle


# -- writing


def test_a_create_gets_an_id_a_version_and_a_location(
    http: FlaskClient, system: dict[str, str]
) -> None:
    response = http.post("/fhir/Observation", json=an_observation("p1"), headers=system)

    kept = response.get_json(force=True)
    assert response.status_code == 201 and response.headers["ETag"] == 'W/"1"'
    assert kept["id"] != "finding-p1" and kept["meta"]["versionId"] == "1"
    assert response.headers["Location"] == f"{ORIGIN}/fhir/Observation/{kept['id']}/_history/1"
    assert http.get(f"/fhir/Observation/{kept['id']}", headers=system).get_json(force=True) == kept


def test_a_client_may_ask_for_an_answer_without_body(
    http: FlaskClient, system: dict[str, str]
) -> None:
    headers = system | {"Prefer": "return=minimal"}

    response = http.post("/fhir/Observation", json=an_observation("p1"), headers=headers)

    assert response.status_code == 201 and response.data == b"" and response.headers["Location"]


def test_if_none_exist_creates_once(http: FlaskClient, system: dict[str, str]) -> None:
    body = an_observation("p1", identifier=[{"system": "urn:x", "value": "1"}])
    headers = system | {"If-None-Exist": "identifier=urn:x|1"}

    first = http.post("/fhir/Observation", json=body, headers=headers)
    second = http.post("/fhir/Observation", json=body, headers=headers)

    assert (first.status_code, second.status_code) == (201, 200)
    assert first.get_json(force=True) == second.get_json(force=True)


def test_if_none_exist_with_several_matches_is_refused(
    http: FlaskClient, system: dict[str, str]
) -> None:
    headers = system | {"If-None-Exist": "status=preliminary"}

    response = http.post("/fhir/Observation", json=an_observation("p1"), headers=headers)

    assert response.status_code == 412 and issue(response)["code"] == "multiple-matches"


def test_an_empty_if_none_exist_is_refused(http: FlaskClient, system: dict[str, str]) -> None:
    headers = system | {"If-None-Exist": "_count=1"}

    assert http.post("/fhir/Patient", json=a_patient("x"), headers=headers).status_code == 400


def test_an_update_makes_the_next_version(http: FlaskClient, system: dict[str, str]) -> None:
    body = an_observation("p1", status="final")

    headers = system | {"If-Match": 'W/"1"'}
    response = http.put("/fhir/Observation/finding-p1", json=body, headers=headers)
    stale = http.put("/fhir/Observation/finding-p1", json=body, headers=headers)

    assert response.status_code == 200 and response.headers["ETag"] == 'W/"2"'
    assert stale.status_code == 412 and issue(stale)["code"] == "conflict"
    assert ids(http.get("/fhir/Observation?status=final", headers=system)) == ["finding-p1"]


def test_an_update_may_create_under_its_own_id(http: FlaskClient, system: dict[str, str]) -> None:
    body = an_observation("p1", id="chosen")

    created = http.put("/fhir/Observation/chosen", json=body, headers=system)
    missing = http.put(
        "/fhir/Observation/never",
        json=body | {"id": "never"},
        headers=system | {"If-Match": 'W/"1"'},
    )

    assert created.status_code == 201 and missing.status_code == 412


@pytest.mark.parametrize("if_match", ["1", '"1"', "*"])
def test_a_malformed_if_match_is_refused(
    http: FlaskClient, system: dict[str, str], if_match: str
) -> None:
    response = http.put(
        "/fhir/Patient/p1", json=a_patient("p1"), headers=system | {"If-Match": if_match}
    )

    assert response.status_code == 400


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"status": "bogus"}, 400),
        ({"status": None}, 400),
        ({"invented": 1}, 400),
        ({"note": []}, 400),
        ({"code": {}}, 400),
        ({"effectiveDateTime": "yesterday"}, 400),
        ({"effectiveDateTime": "2026-01-02T08:30:60Z"}, 400),
        ({"meta": "yesterday"}, 400),
        ({"effectiveDateTime": 0}, 400),
        ({"effectivePeriod": {"start": 0}}, 400),
        ({"valueBoolean": "true"}, 400),
        ({"valueQuantity": {"value": "0.93"}}, 400),
        ({"_status": "2026"}, 400),
        ({"valueQuantity": {"value": "bogus"}}, 400),
        ({"resourceType": "Patient"}, 400),
        ({"subject": {"reference": "Patient/nobody"}}, 422),
        ({"subject": {"reference": "Group/1"}}, 422),
        ({"subject": {"reference": "urn:uuid:6b1f0f5c-8f0c-4e8b-9a5e-000000000000"}}, 400),
    ],
)
def test_an_invalid_resource_is_refused_without_quoting_it(
    http: FlaskClient, system: dict[str, str], change: dict[str, Any], status: int
) -> None:
    response = http.post("/fhir/Observation", json=an_observation("p1") | change, headers=system)

    assert response.status_code == status and issue(response)["severity"] == "error"
    assert not {"bogus", "yesterday", "nobody"} & set(response.text.replace('"', " ").split())


def test_a_missing_status_is_refused(http: FlaskClient, system: dict[str, str]) -> None:
    body = {key: value for key, value in an_observation("p1").items() if key != "status"}

    assert http.post("/fhir/Observation", json=body, headers=system).status_code == 400


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", FHIR, 400),
        (b"\xff\xfe", FHIR, 400),
        (b"[]", FHIR, 400),
        (b'{"resourceType": "Patient", "id": "a", "id": "b"}', FHIR, 400),
        (b'{"resourceType": "Patient", "multipleBirthInteger": NaN}', FHIR, 400),
        (b'{"resourceType": "Patient", "multipleBirthInteger": 1e999}', FHIR, 400),
        (b'{"resourceType": "Patient", "id": "a", "language": "\\ud800"}', FHIR, 400),
        (b"[" * 100_000, FHIR, 400),
        (b'{"a":' * 100 + b"1" + b"}" * 100, FHIR, 400),
        (b"<Patient/>", "application/fhir+xml", 415),
        (b"{}", "text/plain", 415),
        (b" " * (9 * 1024 * 1024), FHIR, 413),
    ],
)
def test_a_body_that_is_no_fhir_json_is_refused(
    http: FlaskClient, system: dict[str, str], body: bytes, content_type: str, status: int
) -> None:
    response = http.post("/fhir/Patient", data=body, content_type=content_type, headers=system)

    assert response.status_code == status and issue(response)["severity"] == "error"


def test_the_url_and_the_body_must_name_the_same_id(
    http: FlaskClient, system: dict[str, str]
) -> None:
    assert http.put("/fhir/Patient/p1", json=a_patient("p2"), headers=system).status_code == 400


# -- transactions


def a_transaction(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)}


def a_post(resource: dict[str, Any], full_url: str | None = None, **request: str) -> dict[str, Any]:
    entry = {
        "resource": without_id(resource),
        "request": {"method": "POST", "url": resource["resourceType"], **request},
    }
    return entry | ({"fullUrl": full_url} if full_url else {})


def test_a_transaction_resolves_references_between_its_entries(
    http: FlaskClient, system: dict[str, str]
) -> None:
    device = {"resourceType": "Device", "id": "-"}
    finding = an_observation("p1", device={"reference": "urn:uuid:1"})
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "preliminary",
        "code": {"text": "AI"},
        "subject": {"reference": "Patient/p1"},
        "result": [{"reference": "urn:uuid:2"}],
    }
    put = {"resource": report, "request": {"method": "PUT", "url": "DiagnosticReport/r1"}}

    response = http.post(
        "/fhir",
        json=a_transaction(put, a_post(finding, "urn:uuid:2"), a_post(device, "urn:uuid:1")),
        headers=system,
    )

    bundle = response.get_json(force=True)
    get_fhir_model_class("Bundle").model_validate(bundle)
    statuses = [entry["response"]["status"] for entry in bundle["entry"]]
    kept_report, kept_finding, kept_device = (entry["resource"] for entry in bundle["entry"])
    assert bundle["type"] == "transaction-response" and statuses == ["201 Created"] * 3
    assert kept_finding["device"]["reference"] == f"Device/{kept_device['id']}"
    assert kept_report["result"][0]["reference"] == f"Observation/{kept_finding['id']}"
    assert http.get("/fhir/DiagnosticReport/r1", headers=system).get_json(force=True) == kept_report


def test_a_transaction_run_twice_finds_what_the_first_run_made(
    http: FlaskClient, system: dict[str, str]
) -> None:
    finding = an_observation("p1", identifier=[{"system": "urn:x", "value": "9"}])
    provenance = {
        "resourceType": "Provenance",
        "id": "-",
        "target": [{"reference": "urn:uuid:1"}],
        "recorded": "2026-01-05T09:00:00Z",
        "agent": [{"who": {"reference": "Practitioner/clinician"}}],
    }
    bundle = a_transaction(
        a_post(finding, "urn:uuid:1", ifNoneExist="identifier=urn:x|9"), a_post(provenance)
    )

    first, second = (
        http.post("/fhir/", json=bundle, headers=system).get_json(force=True) for _ in range(2)
    )

    made, found = first["entry"][0], second["entry"][0]
    assert made["response"]["status"] == "201 Created" and found["response"]["status"] == "200 OK"
    assert made["resource"] == found["resource"]
    target = second["entry"][1]["resource"]["target"][0]["reference"]
    assert target == f"Observation/{made['resource']['id']}"


def a_put(resource: dict[str, Any], **request: str) -> dict[str, Any]:
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"resource": resource, "request": {"method": "PUT", "url": url, **request}}


@pytest.mark.parametrize(
    ("bad", "status"),
    [
        (a_post(an_observation("p1", status="bogus")), 400),
        (a_post(an_observation("p1", subject={"reference": "urn:uuid:9"})), 400),
        (a_post(an_observation("nobody")), 422),
        (a_post({"resourceType": "Medication", "id": "m"}), 404),
        (a_put(a_patient("p1"), ifMatch='W/"9"'), 412),
        (a_put(a_patient("p9")), 400),
        ({"request": {"method": "DELETE", "url": "Patient/p1"}, "resource": a_patient("p1")}, 400),
        ({"request": {"method": "PUT", "url": "Patient/p2"}, "resource": a_patient("p1")}, 400),
        ({"request": {"method": "POST", "url": "Patient/p1"}, "resource": a_patient("p1")}, 400),
        ({"request": {"method": "POST", "url": "Device"}, "resource": a_patient("p1")}, 400),
        ({"request": {"method": "POST", "url": "Device"}}, 400),
        ({"resource": a_patient("p1")}, 400),
        ("text", 400),
    ],
)
def test_a_transaction_with_one_bad_entry_keeps_nothing(
    http: FlaskClient, system: dict[str, str], bad: Any, status: int
) -> None:
    bundle = a_transaction(a_put(a_patient("p9")), bad)

    response = http.post("/fhir", json=bundle, headers=system)

    assert response.status_code == status and issue(response)["severity"] == "error"
    assert http.get("/fhir/Patient/p9", headers=system).status_code == 404


@pytest.mark.parametrize(
    "bundle",
    [
        {"resourceType": "Bundle", "type": "batch", "entry": [a_put(a_patient("p9"))]},
        {"resourceType": "Patient"},
        a_transaction(),
        [],
    ],
)
def test_only_transactions_are_taken_at_the_base(
    http: FlaskClient, system: dict[str, str], bundle: Any
) -> None:
    assert http.post("/fhir", json=bundle, headers=system).status_code == 400


# -- who may


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic eDp5"}],
)
def test_no_token_of_ours_no_answer(http: FlaskClient, headers: dict[str, str]) -> None:
    for path in ("/fhir/Patient/p1", "/fhir/Patient?_id=p1", "/fhir/Nonsense"):
        response = http.get(path, headers=headers)

        assert response.status_code == 401 and issue(response)["code"] == "login"
        assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_token_ends_with_its_life(http: FlaskClient, app: App, clock: Clock) -> None:
    headers = app.backend("system/Patient.r")

    clock.forward(seconds=299)
    before = http.get("/fhir/Patient/p1", headers=headers).status_code
    clock.forward(seconds=1)

    assert (before, http.get("/fhir/Patient/p1", headers=headers).status_code) == (200, 401)


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("system/Observation.r", {"read"}),
        ("system/Observation.s", {"search"}),
        ("system/Observation.c", {"create"}),
        ("system/Observation.u", {"update"}),
        ("system/Observation.read", {"read", "search"}),
        ("system/Observation.write", {"create", "update"}),
        ("system/*.cruds", {"read", "search", "create", "update"}),
        ("system/*.*", {"read", "search", "create", "update"}),
        ("system/Patient.cruds", set()),
        ("user/Observation.cruds", None),
        ("system/Observation.sr", None),
        ("system/Observation.rs?category=imaging", None),
    ],
)
def test_each_interaction_needs_its_letter(
    http: FlaskClient, app: App, scope: str, allowed: set[str] | None
) -> None:
    if allowed is None:
        refused = app.token(grant_type="client_credentials", scope=scope)
        assert refused.get_json()["error"] == "invalid_scope"
        return
    headers = app.backend(scope)
    body = an_observation("p1")

    answers = {
        "read": http.get("/fhir/Observation/finding-p1", headers=headers),
        "search": http.get("/fhir/Observation?patient=p1", headers=headers),
        "create": http.post("/fhir/Observation", json=body, headers=headers),
        "update": http.put("/fhir/Observation/finding-p1", json=body, headers=headers),
    }

    assert {name for name, answer in answers.items() if answer.status_code < 300} == allowed
    for name in set(answers) - allowed:
        assert answers[name].status_code == 403 and issue(answers[name])["code"] == "forbidden"


def test_a_transaction_needs_the_scope_of_every_entry(http: FlaskClient, app: App) -> None:
    headers = app.backend("system/Patient.cu")
    bundle = a_transaction(a_put(a_patient("p9")), a_put(an_observation("p1")))

    assert http.post("/fhir", json=bundle, headers=headers).status_code == 403
    assert (
        http.post("/fhir", json=a_transaction(a_put(a_patient("p9"))), headers=headers).status_code
        == 200
    )


def test_a_patients_token_sees_that_patient_only(http: FlaskClient, app: App) -> None:
    headers = app.launched("patient/*.rs")

    assert ids(http.get("/fhir/Patient", headers=headers)) == ["p1"]
    assert ids(http.get("/fhir/ImagingStudy", headers=headers)) == ["study-p1"]
    assert ids(http.get("/fhir/Observation?patient=p2", headers=headers)) == []
    assert http.get("/fhir/Observation/finding-p1", headers=headers).status_code == 200
    assert http.get("/fhir/Practitioner/clinician", headers=headers).status_code == 200
    for path in ("Patient/p2", "ImagingStudy/study-p2", "Observation/finding-p2"):
        response = http.get(f"/fhir/{path}", headers=headers)
        assert response.status_code == 403 and issue(response)["code"] == "forbidden"


def test_a_patients_token_writes_about_that_patient_only(http: FlaskClient, app: App) -> None:
    headers = app.launched("patient/*.cruds")
    moved = an_observation("p1", id="finding-p2")

    assert (
        http.post("/fhir/Observation", json=an_observation("p1"), headers=headers).status_code
        == 201
    )
    refused = [
        http.post("/fhir/Observation", json=an_observation("p2"), headers=headers),
        http.put("/fhir/Observation/finding-p2", json=moved, headers=headers),
        http.post("/fhir/Device", json={"resourceType": "Device"}, headers=headers),
        http.post("/fhir", json=a_transaction(a_put(moved)), headers=headers),
        http.post(
            "/fhir/Observation",
            json=an_observation("p1"),
            headers=headers | {"If-None-Exist": "_id=finding-p2"},
        ),
    ]
    assert [response.status_code for response in refused] == [403] * 5


def test_a_launch_without_patient_grants_no_patient_scope(http: FlaskClient, app: App) -> None:
    launch = app.launch(None)

    token = app.redeem(app.code(launch=launch, scope="launch patient/Patient.rs")).get_json()

    assert token["scope"] == "launch"


def test_a_token_for_another_fhir_server_is_good_there_and_refused_here(
    tmp_path: Path, clock: Clock
) -> None:
    other = "http://127.0.0.1:7/fhir"
    site = create_sandbox(a_config(tmp_path, clock, further_audiences=(other,)))
    parts: Sandbox = site.extensions[EXTENSION]
    http = site.test_client()
    app = App.registered(parts, http, clock)
    token = app.redeem(app.code(aud=other)).get_json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}

    there = http.post("/auth/introspect", data={"token": token}, headers=headers).get_json()

    assert there["active"] is True and there["aud"] == other
    assert there["fhirUser"] == f"{other}/Practitioner/clinician"
    assert http.get("/fhir/Patient/p1", headers=headers).status_code == 401
    parts.fhir.close()
    parts.archive.close()


def test_a_fault_of_ours_says_nothing_about_its_cause(
    http: FlaskClient, system: dict[str, str], parts: Sandbox
) -> None:
    parts.fhir.close()

    response = http.get("/fhir/Patient/p1", headers=system)

    assert response.status_code == 500 and issue(response)["code"] == "exception"
    assert "sqlite" not in response.text.lower() and "Traceback" not in response.text


def test_people_get_a_page_and_machines_an_outcome(http: FlaskClient) -> None:
    assert http.get("/no/such/page").mimetype == "text/html"
    assert issue(http.get("/dicom-web/nothing"))["code"] == "not-found"


# -- what the server says about itself


def test_the_capability_statement_is_valid_and_open_to_all(http: FlaskClient) -> None:
    response = http.get("/fhir/metadata")

    statement = response.get_json(force=True)
    get_fhir_model_class("CapabilityStatement").model_validate(statement)
    assert response.status_code == 200 and statement["fhirVersion"] == "4.0.1"
    assert [resource["type"] for resource in statement["rest"][0]["resource"]] == list(TYPES)


def test_every_promised_search_parameter_works_and_no_other(
    http: FlaskClient, system: dict[str, str]
) -> None:
    statement = http.get("/fhir/metadata").get_json(force=True)
    examples = {"token": "a|b", "reference": "Patient/p1", "date": "ge2020-01-01", "string": "a"}

    for resource in statement["rest"][0]["resource"]:
        for parameter in resource["searchParam"]:
            value = examples[parameter["type"]]
            response = http.get(
                f"/fhir/{resource['type']}",
                query_string={parameter["name"]: value},
                headers=system,
            )
            assert response.status_code == 200, (resource["type"], parameter)


def test_a_type_that_it_lacks_is_nowhere(tmp_path: Path, clock: Clock, keys_file: Path) -> None:
    shutil.copy(keys_file, tmp_path)
    config = a_config(tmp_path, clock, lacks=frozenset({"ImagingStudy"}))
    flask_app = create_sandbox(config)
    parts, http = flask_app.extensions[EXTENSION], flask_app.test_client()
    bearer = App.registered(parts, http, clock).backend("system/*.rs")

    statement = http.get("/fhir/metadata").get_json(force=True)
    scopes = http.get("/fhir/.well-known/smart-configuration").get_json()["scopes_supported"]
    search = http.get("/fhir/ImagingStudy?patient=p1", headers=bearer)

    types = {resource["type"] for resource in statement["rest"][0]["resource"]}
    assert types == set(TYPES) - {"ImagingStudy"} and search.status_code == 404
    assert "system/ServiceRequest.rs" in scopes
    assert not any("ImagingStudy" in scope for scope in scopes)
    parts.fhir.close()
    parts.archive.close()
