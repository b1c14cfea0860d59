"""The CDS Hooks service over HTTP; `chN_n` are rows of the requirement sets in the reference."""

import json
import logging
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from cds_service.domain.card import Outcome, ShownCard
from cds_service.domain.hook import ORDER_SERVICE, Hook
from cds_service.errors import EhrTimedOut, LedgerUnavailable
from tests.builders import a_model, a_patient, a_study
from tests.fakes.imaging import a_use
from tests.unit.cards.builders import (
    PUBLIC_URL,
    SERVICE_ID,
    a_bundle,
    a_card_model,
    a_patient_resource,
    a_study_resource,
    know,
)
from tests.web.conftest import FrontDoor
from tests.web.ehr_client import SERVICE_URL, a_hook_body

HOOKS = tuple(hook.value for hook in Hook)
HOOK_PATH = f"/cds-services/{SERVICE_ID}"
ORIGIN = "https://ehr.example.org"


def empty_values(value: Any, path: str = "$") -> list[str]:
    """List every place that holds null, "", [] or {}."""
    found = [path] if value in (None, "", [], {}) else []
    if isinstance(value, dict):
        found += [p for key, one in value.items() for p in empty_values(one, f"{path}.{key}")]
    if isinstance(value, list):
        found += [p for n, one in enumerate(value) for p in empty_values(one, f"{path}[{n}]")]
    return found


def issue_of(response: Any) -> dict[str, Any]:
    assert response.json["resourceType"] == "OperationOutcome"
    assert response.content_type == "application/fhir+json"
    (issue,) = response.json["issue"]
    return dict(issue)


# --- discovery -------------------------------------------------------------------------------


def services_of(door: FrontDoor) -> list[dict[str, Any]]:
    return list(door.client.get("/cds-services").json["services"])


def test_ch2_4_discovery_lists_the_services_without_a_token(door: FrontDoor) -> None:
    answer = door.client.get("/cds-services")

    assert answer.status_code == 200 and empty_values(answer.json) == []
    assert all(one["title"] and one["description"] for one in answer.json["services"])


def test_discovery_names_the_models_that_are_enabled_now(door: FrontDoor) -> None:
    other = a_card_model(identity=a_model(id="other", title="Other model", label="Only a test."))
    before = door.client.get("/cds-services").json["services"][0]["description"]
    door.house.others = ((other, a_use()),)

    after = door.client.get("/cds-services").json["services"][0]["description"]

    assert before == (
        "Shows what AI found in the patient's imaging studies. "
        "Sightline paediatric pneumonia: Reference model. Not a medical device."
    )
    assert after == f"{before} Other model: Only a test."


def test_ch2_211_one_id_under_seven_hooks_says_that_later_cards_replace_earlier_ones(
    door: FrontDoor,
) -> None:
    listed = [(one["id"], one["hook"]) for one in services_of(door)]

    assert listed == [(SERVICE_ID, hook) for hook in HOOKS] + [
        (ORDER_SERVICE, "order-select"),
        (ORDER_SERVICE, "order-sign"),
    ]


def test_ch2_55_prefetch_tokens_are_root_fields_of_the_context(door: FrontDoor) -> None:
    for service in services_of(door):
        assert set(service.get("prefetch", {})) in (
            {"patient", "studies"} if service["id"] == SERVICE_ID else {"studies"},
        )
        for template in service.get("prefetch", {}).values():
            assert template.count("{{") == template.count("{{context.patientId}}") == 1


# --- hooks -----------------------------------------------------------------------------------


@pytest.mark.parametrize("hook", HOOKS)
def test_every_hook_of_the_service_is_answered_alike_and_warms_the_cache(
    door: FrontDoor, hook: str
) -> None:
    (card,) = door.post(a_hook_body(hook=hook)).json["cards"]

    assert "AI analysis queued" in card["summary"] and len(door.house.doorbell.rung) == 1


def test_lib_57_order_dispatch_needs_a_patient_and_no_user(door: FrontDoor) -> None:
    context = {"patientId": "p-1", "dispatchedOrders": ["ServiceRequest/1"], "performer": "x/1"}

    assert door.post(a_hook_body(hook="order-dispatch", context=context)).status_code == 200


def test_an_order_that_repeats_a_study_is_answered_with_a_card(door: FrontDoor) -> None:
    know(door.house)
    draft = {"resourceType": "ServiceRequest", "id": "d-1", "code": {"text": "Chest X-ray"}}
    context = {"patientId": "p-1", "draftOrders": a_bundle(draft)}

    (card,) = door.order_check(a_hook_body(hook="order-sign", context=context)).json["cards"]

    assert card["summary"] == (
        "A comparable study of 2 Jan 2026 already has an AI read: signs of pneumonia"
    )
    remove, keep = card["suggestions"]
    assert card["selectionBehavior"] == "at-most-one" and "actions" not in keep
    (action,) = remove["actions"]
    assert (action["type"], action["resourceId"]) == ("delete", "ServiceRequest/d-1")
    assert "resource" not in action


def test_an_order_check_reads_nothing_and_lacks_nothing(door: FrontDoor) -> None:
    body = a_hook_body(hook="order-select", context={"patientId": "p-1"}, prefetch=...)

    answer = door.order_check(body)

    assert answer.json == {"cards": []} and door.house.record.reads == []


def test_a_hook_of_another_service_is_400_naming_those_that_are_answered(door: FrontDoor) -> None:
    answer = door.order_check(a_hook_body(hook="patient-view"))

    assert answer.status_code == 400
    assert "order-select, order-sign" in issue_of(answer)["diagnostics"]


# --- cards -----------------------------------------------------------------------------------


def test_a_hook_is_answered_with_a_card_that_links_to_the_app(door: FrontDoor) -> None:
    answer = door.post()

    (card,) = answer.json["cards"]
    assert answer.status_code == 200
    assert card["summary"] == "Chest X-ray 2 Jan 2026: AI analysis queued"
    assert card["links"][0]["type"] == "smart"
    assert card["links"][0]["url"] == f"{PUBLIC_URL}/app/launch"
    assert json.loads(card["links"][0]["appContext"])["study"] == "1.2.840.99999.1"


def test_ch2_3_an_answer_has_no_null_and_nothing_empty_but_cards(door: FrontDoor) -> None:
    with_card = door.post().json
    without = door.post(a_hook_body(prefetch={"studies": None})).json

    assert empty_values(with_card) == []
    assert without == {"cards": []}


def test_ch2_80_to_147_a_card_keeps_the_rules(door: FrontDoor) -> None:
    (card,) = door.post().json["cards"]

    assert 0 < len(card["summary"]) < 140
    assert card["indicator"] in {"info", "warning", "critical"}
    assert card["source"]["label"] and card["source"]["url"].startswith(PUBLIC_URL)
    assert {"system", "code"} <= set(card["source"]["topic"])
    assert all({"system", "code", "display"} <= set(one) for one in card["overrideReasons"])
    assert isinstance(card["links"][0]["appContext"], str)
    assert "suggestions" not in card and "selectionBehavior" not in card


def test_an_answer_is_not_kept_by_caches(door: FrontDoor) -> None:
    assert door.post().headers["Cache-Control"] == "no-store"


def test_ch2_54_a_study_list_without_any_source_is_412_naming_the_key(door: FrontDoor) -> None:
    door.house.record.own_scope = ""

    answer = door.post(a_hook_body(prefetch={"patient": a_patient_resource()}))

    assert answer.status_code == 412
    assert issue_of(answer)["code"] == "required" and "studies" in issue_of(answer)["diagnostics"]


def test_an_ehr_that_does_not_answer_costs_the_cards_not_the_answer(door: FrontDoor) -> None:
    door.house.record.failure = EhrTimedOut("late")

    answer = door.post(a_hook_body(prefetch=...))

    assert answer.status_code == 200
    assert [card["indicator"] for card in answer.json["cards"]] == ["info"]


def test_unknown_fields_and_extensions_are_let_through(door: FrontDoor) -> None:
    body = a_hook_body(
        user="Practitioner/1",
        extension={"com.epic.cdshooks.request.bpa-trigger-action": "60"},
        context={"patientId": "p-1", "userId": "PractitionerRole/2", "encounterId": "e", "x": [1]},
    )

    assert door.post(body).status_code == 200


def test_medplum_s_request_without_a_fhir_server_is_answered(door: FrontDoor) -> None:
    prefetch = {"patient": a_patient_resource(), "studies": None}

    assert door.post(a_hook_body(fhirServer=..., prefetch=prefetch)).json == {"cards": []}


def test_epic_s_empty_search_is_no_data(door: FrontDoor) -> None:
    outcome = {
        "resource": {
            "resourceType": "OperationOutcome",
            "issue": [{"severity": "warning", "details": {"coding": [{"code": "4101"}]}}],
        },
        "search": {"mode": "outcome"},
    }
    bundle = {"resourceType": "Bundle", "total": 0, "entry": [outcome]}

    assert door.post(a_hook_body(prefetch={"studies": bundle})).json == {"cards": []}


@pytest.mark.parametrize("severity", ["warning", "information"])
def test_ch2_50_a_warning_beside_the_data_is_data(door: FrontDoor, severity: str) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": severity}]}

    answer = door.post(a_hook_body(prefetch={"studies": a_bundle(a_study_resource(), outcome)}))

    assert "queued" in answer.json["cards"][0]["summary"]
    assert not any(path.startswith("ImagingStudy") for path, _ in door.house.record.reads)


@pytest.mark.parametrize("studies", [[], [a_study_resource()]], ids=["alone", "beside a study"])
def test_ch2_52_an_error_in_a_bundle_is_no_proof_that_there_is_no_more(
    door: FrontDoor, studies: list[dict[str, Any]]
) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error"}]}

    door.post(a_hook_body(prefetch={"studies": a_bundle(*studies, outcome)}))

    assert any(path.startswith("ImagingStudy") for path, _ in door.house.record.reads)


@pytest.mark.parametrize("severity", ["error", "fatal"])
def test_a_failed_prefetch_is_read_with_our_own_token(door: FrontDoor, severity: str) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": severity}]}

    door.post(a_hook_body(prefetch={"studies": outcome}))

    assert any(path.startswith("ImagingStudy") for path, _ in door.house.record.reads)


@pytest.mark.parametrize("value", ["123", 5, [], True])
def test_a_prefetch_value_of_another_type_counts_as_missing(door: FrontDoor, value: Any) -> None:
    door.post(a_hook_body(prefetch={"studies": value}))

    assert any(path.startswith("ImagingStudy") for path, _ in door.house.record.reads)


@pytest.mark.parametrize(
    "name",
    [
        "ahrq/missing_prefetch_keys_invocation.json",
        "ahrq/null_prefetch_values_invocation.json",
        "fhir-tools-ig/Binary-CDSHooksRequestPV.json",
    ],
)
def test_real_requests_whose_keys_are_not_ours_are_read_for(
    door: FrontDoor, shared_data: Path, name: str
) -> None:
    body = json.loads((shared_data / "cds-hooks" / name).read_text())
    body["fhirServer"] = "http://127.0.0.1:9/fhir"  # the fixtures name servers of their own

    answer = door.post(body)

    ours = {path.partition("?")[0] for path, bearer in door.house.record.reads if bearer is None}
    assert answer.status_code == 200
    assert ours == {f"Patient/{body['context']['patientId']}", "ImagingStudy"}


def test_the_same_real_request_with_its_own_server_is_refused(
    door: FrontDoor, shared_data: Path
) -> None:
    path = shared_data / "cds-hooks/fhir-tools-ig/Binary-CDSHooksRequestPV.json"

    answer = door.post(json.loads(path.read_text()))

    assert answer.status_code == 400 and "fhirServer" in issue_of(answer)["diagnostics"]
    assert door.house.record.reads == []
    assert [event.action for event in door.house.audit.events] == ["address-refused"]


def test_real_requests_of_every_hook_are_answered(door: FrontDoor, shared_data: Path) -> None:
    answered = {}
    for path in sorted((shared_data / "cds-hooks" / "inferno").glob("*_hook_request.json")):
        body = json.loads(path.read_text()) | {"fhirServer": "http://127.0.0.1:9/fhir"}
        del body["fhirAuthorization"]  # of a server that is not there
        answered[body["hook"]] = door.post(body).status_code

    assert answered.pop("fancy-structure") == 400  # a hook that nobody has defined
    assert set(answered.values()) == {200} and answered.keys() == set(HOOKS) - {"patient-view"}


# --- bad input -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"hook": "medication-prescribe"}, "hook"),
        ({"hook": ["patient-view"]}, "hook"),
        ({"hook": {}}, "hook"),
        ({"hook": ...}, "hook"),
        ({"hookInstance": ...}, "hookInstance"),
        ({"hookInstance": 5}, "hookInstance"),
        ({"context": ...}, "context"),
        ({"context": []}, "context"),
        ({"context": {"userId": "Practitioner/1"}}, "patientId"),
        ({"context": {"patientId": ""}}, "patientId"),
        ({"context": {"patientId": "p-1?_include=*"}}, "patientId"),
        ({"context": {"patientId": "../Patient"}}, "patientId"),
        ({"context": {"patientId": 5}}, "patientId"),
        ({"fhirServer": 5}, "fhirServer"),
        ({"fhirServer": "https://evil.example/fhir"}, "fhirServer"),
        ({"fhirServer": "http://127.0.0.1:9/fhir/../x"}, "fhirServer"),
        ({"fhirAuthorization": []}, "fhirAuthorization"),
        ({"fhirAuthorization": {"access_token": "x"}}, "token_type"),
        ({"prefetch": []}, "prefetch"),
    ],
)
def test_a_malformed_hook_is_400_naming_the_field(
    door: FrontDoor, changes: dict[str, Any], field: str
) -> None:
    answer = door.post(a_hook_body(**changes))

    assert answer.status_code == 400
    assert issue_of(answer)["code"] == "structure" and field in issue_of(answer)["diagnostics"]


GOOD_AUTHORIZATION = {
    "access_token": "t",
    "token_type": "Bearer",
    "expires_in": 300,
    "scope": "patient/*.read",
    "subject": "s",
}


@pytest.mark.parametrize(
    "changes",
    [{"scope": 5}, {"expires_in": "300"}, {"access_token": ""}, {"access_token": "a\r\nHost: b"}],
)
def test_an_authorization_that_cannot_be_used_is_400(
    door: FrontDoor, changes: dict[str, Any]
) -> None:
    answer = door.post(a_hook_body(fhirAuthorization=GOOD_AUTHORIZATION | changes))

    assert answer.status_code == 400


def test_an_authorization_needs_its_server(door: FrontDoor) -> None:
    answer = door.post(a_hook_body(fhirAuthorization=GOOD_AUTHORIZATION, fhirServer=...))

    assert answer.status_code == 400 and "fhirServer" in issue_of(answer)["diagnostics"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 5000, b'{"a":' * 100 + b"1" + b"}" * 100]
)
def test_a_body_that_is_no_hook_is_400(door: FrontDoor, body: bytes) -> None:
    answer = door.post(body, content_type="application/json")

    assert answer.status_code == 400 and issue_of(answer)["code"] == "structure"


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_another_content_type_is_415(door: FrontDoor, content_type: str) -> None:
    answer = door.post(json.dumps(a_hook_body()).encode(), content_type=content_type)

    assert answer.status_code == 415 and issue_of(answer)["code"] == "not-supported"


def test_a_body_past_the_limit_is_413(door: FrontDoor) -> None:
    answer = door.post(b" " * 200_001, content_type="application/json")

    assert answer.status_code == 413 and issue_of(answer)["code"] == "too-long"


def test_a_long_body_of_unstated_length_is_413(door: FrontDoor) -> None:
    answer = door.client.post(
        HOOK_PATH,
        input_stream=BytesIO(b" " * 300_000),
        content_type="application/json",
        headers={"Authorization": f"Bearer {door.ehr.token()}"},
        environ_overrides={
            "CONTENT_LENGTH": "",
            "HTTP_TRANSFER_ENCODING": "chunked",
            "wsgi.input_terminated": True,
        },
    )

    assert answer.status_code == 413


def test_an_unknown_service_is_404_and_another_method_405(door: FrontDoor) -> None:
    unknown = door.client.post("/cds-services/other", json={})
    other_method = door.client.get(HOOK_PATH)

    assert unknown.status_code == 404 and issue_of(unknown)["code"] == "not-found"
    assert f"{SERVICE_ID} (patient-view" in issue_of(unknown)["diagnostics"]
    assert other_method.status_code == 405 and "POST" in other_method.headers["Allow"]


def test_a_bug_is_an_id_for_the_caller_and_a_class_for_the_log(
    door: FrontDoor, caplog: pytest.LogCaptureFixture
) -> None:
    def explode() -> None:
        raise ValueError("Jane Doe 1.2.840.99999.1")

    door.house.record.before_answer = explode
    given = {"Authorization": f"Bearer {door.ehr.token()}", "X-Request-Id": "request-0001"}

    answer = door.post(a_hook_body(prefetch={}), headers=given)

    assert answer.status_code == 500 and answer.headers["X-Request-Id"] == "request-0001"
    assert "request-0001" in issue_of(answer)["diagnostics"]
    assert "ValueError" in caplog.text and "request-0001" in caplog.text
    assert "Jane" not in caplog.text + answer.text and "Traceback" not in caplog.text + answer.text


def test_every_answer_names_its_request(door: FrontDoor) -> None:
    given = {"Authorization": f"Bearer {door.ehr.token()}", "X-Request-Id": "request-0001"}

    assert door.post(headers=given).headers["X-Request-Id"] == "request-0001"
    assert len(door.post().headers["X-Request-Id"]) == 32


def test_t8_no_token_name_or_identifier_is_logged(
    door: FrontDoor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = door.ehr.token()
    body = a_hook_body(fhirAuthorization=GOOD_AUTHORIZATION | {"access_token": "canary-1"})

    door.post(body, headers={"Authorization": f"Bearer {token}"})
    door.post(body, headers={"Authorization": f"Bearer {token}"})

    for secret in ("canary-1", token, "p-1", "MRN-1", "1.2.840.99999.1"):
        assert secret not in caplog.text


# --- trust, at the door ----------------------------------------------------------------------


def test_ch2_176_without_a_token_there_is_no_answer_and_no_reason(
    door: FrontDoor, caplog: pytest.LogCaptureFixture
) -> None:
    answer = door.post(headers={})

    assert answer.status_code == 401 and answer.data == b""
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert "reason=token-missing" in caplog.text and f"expected_aud={SERVICE_URL}" in caplog.text


def test_a_refused_token_leaves_one_line_for_the_administrator(
    door: FrontDoor, caplog: pytest.LogCaptureFixture
) -> None:
    token = door.ehr.token(aud="https://other.example/cds-services/x")

    door.post(headers={"Authorization": f"Bearer {token}", "X-Request-Id": "request-0002"})

    (line,) = [record.getMessage() for record in caplog.records]
    assert "reason=audience-wrong" in line and "General Hospital" in line
    assert f"expected_aud={SERVICE_URL}" in line and "request-0002" in line
    assert token not in line and token.split(".")[1] not in line


def test_t4_a_spoofed_host_does_not_change_the_audience(door: FrontDoor) -> None:
    token = door.ehr.token(aud=f"https://evil.example{HOOK_PATH}")

    answer = door.post(
        headers={
            "Authorization": f"Bearer {token}",
            "Host": "evil.example",
            "X-Forwarded-Host": "evil.example",
        }
    )

    assert answer.status_code == 401


def test_t3_a_replayed_token_is_refused(door: FrontDoor) -> None:
    headers = {"Authorization": f"Bearer {door.ehr.token()}"}

    assert door.post(headers=headers).status_code == 200
    assert door.post(headers=headers).status_code == 401


def test_t3_without_the_ledger_nobody_is_let_in(
    door: FrontDoor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> bool:
        raise LedgerUnavailable("The ledger is away.")

    monkeypatch.setattr(door.replays, "use_once", away)

    assert door.post().status_code == 503


# --- feedback --------------------------------------------------------------------------------


def a_report(**changes: Any) -> dict[str, Any]:
    return {
        "card": "c-1",
        "outcome": "overridden",
        "outcomeTimestamp": "2026-01-05T09:00:00Z",
    } | changes


def send(door: FrontDoor, *reports: Any, aud: str = f"{SERVICE_URL}/feedback") -> Any:
    headers = {"Authorization": f"Bearer {door.ehr.token(aud=aud)}"}
    return door.post({"feedback": list(reports)}, path="/feedback", headers=headers)


@pytest.mark.parametrize("aud", [SERVICE_URL, f"{SERVICE_URL}/feedback"])
def test_ch2_196_feedback_is_taken_for_either_audience(door: FrontDoor, aud: str) -> None:
    assert send(door, a_report(), aud=aud).status_code == 200


def test_feedback_about_a_shown_card_is_stored_with_its_reason(door: FrontDoor) -> None:
    (card,) = door.post().json["cards"]
    reason = {"system": "s", "code": "c", "display": "d"}
    stated = {"reason": reason, "userComment": "Jane Doe is fine"}

    answer = send(door, a_report(card=card["uuid"], overrideReason=stated))

    (stored,) = door.house.cards.reports.values()
    assert answer.status_code == 200 and stored.outcome is Outcome.OVERRIDDEN
    assert stored.reason is not None and stored.reason.code == "c"
    assert stored.has_comment and "Jane" not in repr(stored)


def test_feedback_about_a_card_of_nobody_is_answered_the_same(door: FrontDoor) -> None:
    answer = send(door, a_report(card="unknown"))

    assert answer.status_code == 200 and not door.house.cards.reports


def test_the_real_feedback_of_one_card_accepted_and_overridden_is_taken(
    door: FrontDoor, shared_data: Path
) -> None:
    reports = json.loads((shared_data / "cds-hooks/ahrq/feedback.json").read_text())["feedback"]
    door.house.cards.shown("t-1", ShownCard(reports[0]["card"]))

    assert send(door, *reports).status_code == 200
    assert [outcome for _, _, outcome, _ in door.house.cards.reports] == ["accepted", "overridden"]


@pytest.mark.parametrize(
    "reason",
    [
        {"overrideReasons": {"reason": {"code": "c"}, "userComment": ""}},
        {"overrideReasons": [{"reason": {"code": "c"}}]},
        {"overrideReasons": {"extension": {"com.epic.cdshooks.feedback.overrideReason": "x"}}},
        {"overrideReason": {"reason": {"code": "c", "system": 5}}},
        {"overrideReason": "none"},
        {"acceptedSuggestions": "none"},
    ],
)
def test_the_forms_of_feedback_that_vendors_send_are_taken(
    door: FrontDoor, reason: dict[str, Any]
) -> None:
    assert send(door, a_report(**reason)).status_code == 200


@pytest.mark.parametrize(
    "report",
    [
        "text",
        a_report(card=5),
        a_report(card=""),
        a_report(outcome="ignored"),
        a_report(outcome=None),
        a_report(outcomeTimestamp="yesterday"),
        a_report(outcomeTimestamp=None),
    ],
)
def test_malformed_feedback_is_400(door: FrontDoor, report: Any) -> None:
    assert send(door, report).status_code == 400


def test_a_flood_of_reports_is_400(door: FrontDoor) -> None:
    assert send(door, *[a_report()] * 501).status_code == 400


# --- CORS ------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/cds-services", HOOK_PATH, f"{HOOK_PATH}/feedback"])
def test_ch2_208_a_preflight_of_a_registered_page_needs_no_token(
    door: FrontDoor, path: str
) -> None:
    answer = door.client.options(
        path,
        headers={
            "Origin": ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type",
        },
    )

    assert answer.status_code == 200
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "authorization" in answer.headers["Access-Control-Allow-Headers"]
    assert "Origin" in answer.headers["Vary"]


@pytest.mark.parametrize("origin", ["https://evil.example", "null", ORIGIN + ".evil.example"])
def test_another_page_gets_no_permission(door: FrontDoor, origin: str) -> None:
    answer = door.client.options(HOOK_PATH, headers={"Origin": origin})

    assert "Access-Control-Allow-Origin" not in answer.headers


def test_an_error_can_be_read_by_the_page_that_caused_it(door: FrontDoor) -> None:
    answer = door.client.post(HOOK_PATH, json={}, headers={"Origin": ORIGIN})

    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


# --- the neighbours of the hook --------------------------------------------------------------


def test_health_says_what_is_away(door: FrontDoor) -> None:
    assert door.client.get("/health/live").json == {"status": "live"}
    assert door.client.get("/health/ready").json["status"] == "ready"

    door.is_queue_up = False
    degraded = door.client.get("/health/ready")
    assert degraded.status_code == 200 and degraded.json["queue"] == "away"

    door.is_ledger_up = False
    assert door.client.get("/health/ready").status_code == 503


def test_readiness_says_for_how_long_the_oldest_job_has_waited(door: FrontDoor) -> None:
    assert door.client.get("/health/ready").json["oldest_waiting_s"] is None

    door.house.jobs.open("key-1", a_study(), a_patient(), "model")
    door.house.clock.advance(601.5)
    stuck = door.client.get("/health/ready")

    assert stuck.status_code == 200 and stuck.json["oldest_waiting_s"] == 601


def test_the_fhir_endpoint_says_what_it_can_do_and_does_it(door: FrontDoor) -> None:
    statement = door.client.get("/fhir/metadata")
    listed = [one["type"] for one in statement.json["rest"][0]["resource"]]

    answers = {kind: door.client.get(f"/fhir/{kind}/cxr-pneumonia-peds").json for kind in listed}

    assert statement.content_type == "application/fhir+json"
    assert statement.json["fhirVersion"] == "4.0.1" and "Device" in listed
    for kind, answer in answers.items():
        assert answer["resourceType"] == kind and answer["id"] == "cxr-pneumonia-peds"
    assert "Not a medical device" in json.dumps(answers["Device"])


@pytest.mark.parametrize(
    "path",
    ["/fhir/Device/other", "/fhir/Provenance/other", "/fhir/Patient/p-1", "/fhir/Patient", "/x"],
)
def test_what_is_not_there_is_an_operation_outcome(door: FrontDoor, path: str) -> None:
    answer = door.client.get(path)

    assert answer.status_code == 404 and issue_of(answer)["code"] == "not-found"
