"""Orders and visits of the chart: the hook of each step, and what a suggestion may do."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from cds_service.sandbox import orders, visits
from cds_service.sandbox.outcomes import SandboxRefusal
from cds_service.sandbox.parts import Sandbox
from cds_service.sandbox.suggested_actions import carry_out
from tests.unit.sandbox_chart.conftest import a_chart, a_config, opened
from tests.unit.sandbox_chart.service import SmallService, a_card, cards

CHEST = orders.CATALOGUE[0]


@pytest.fixture
def ehr(filled: Path, tmp_path: Path, service: SmallService) -> Iterator[Sandbox]:
    """A filled sandbox of the test's own, so that it may write."""
    shutil.copytree(filled, tmp_path / "data")
    with opened(a_config(tmp_path / "data", service.base)) as sandbox:
        service.keys = sandbox.authorization.keys.public_jwks
        yield sandbox


@pytest.fixture
def browser(ehr: Sandbox) -> FlaskClient:
    return a_chart(ehr).test_client()


def act(browser: FlaskClient, path: str, **body: Any) -> dict[str, Any]:
    answer = browser.post(f"/chart/p101/{path}", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.get_json())


def only_draft(ehr: Sandbox) -> dict[str, Any]:
    [draft] = orders.drafts(ehr, "p101")
    return draft


def removal(hook: dict[str, Any]) -> dict[str, Any]:
    """A card that offers to remove the first draft order of a hook."""
    [entry, *_] = hook["context"]["draftOrders"]["entry"]
    action = {
        "type": "delete",
        "description": "Remove the draft",
        "resourceId": f"ServiceRequest/{entry['resource']['id']}",
    }
    suggestion = {"uuid": "s-1", "label": "Remove the draft", "actions": [action]}
    return a_card(uuid="c-1", suggestions=[suggestion], selectionBehavior="at-most-one")


def names(service: SmallService) -> list[str]:
    return [call["hook"] for call in service.hooks]


# --- orders -----------------------------------------------------------------------------------


def test_a_draft_fires_order_select_at_both_services_and_is_kept(
    browser: FlaskClient, ehr: Sandbox, service: SmallService
) -> None:
    answer = act(browser, "orders", procedure=CHEST.code)

    draft = only_draft(ehr)
    assert names(service) == ["order-select", "order-select"]
    for call in service.hooks:
        assert call["context"]["selections"] == [f"ServiceRequest/{draft['id']}"]
        assert call["context"]["draftOrders"]["entry"][0]["resource"] == draft
    assert {group["service"] for group in answer["groups"]} == {
        "imaging-ai-findings",
        "order-check",
    }
    assert CHEST.name in answer["orders"] and "no card is about it" in answer["note"]


def test_a_procedure_that_is_not_in_the_catalogue_is_refused(
    browser: FlaskClient, ehr: Sandbox
) -> None:
    assert browser.post("/chart/p101/orders", json={"procedure": "none"}).status_code == 400
    assert orders.drafts(ehr, "p101") == []


def test_an_order_that_no_card_is_about_is_signed_at_once(
    browser: FlaskClient, ehr: Sandbox, service: SmallService
) -> None:
    service.answer = lambda _: cards(a_card())
    act(browser, "orders", procedure=CHEST.code)
    order = only_draft(ehr)["id"]

    act(browser, f"orders/{order}/sign")

    signed = ehr.fhir.read("ServiceRequest", order)
    assert signed is not None and signed["status"] == "active"
    assert names(service)[2:] == ["order-sign", "order-sign"]


def test_a_card_about_the_order_holds_the_signature_until_somebody_insists(
    browser: FlaskClient, ehr: Sandbox, service: SmallService
) -> None:
    service.check = lambda hook: cards(removal(hook))
    act(browser, "orders", procedure=CHEST.code)
    order = only_draft(ehr)["id"]

    held = act(browser, f"orders/{order}/sign")

    assert "Sign anyway" in held["orders"] and "Not signed yet" in held["note"]
    assert only_draft(ehr)["id"] == order
    act(browser, f"orders/{order}/sign", anyway=True)
    assert orders.drafts(ehr, "p101") == []


def test_a_card_that_was_answered_holds_nothing_but_the_next_order_again(
    browser: FlaskClient, ehr: Sandbox, service: SmallService
) -> None:
    service.check = lambda hook: cards(removal(hook))
    act(browser, "orders", procedure=CHEST.code)
    act(browser, "feedback", card="c-1", outcome="overridden")
    first = only_draft(ehr)["id"]
    act(browser, f"orders/{first}/sign")
    assert orders.drafts(ehr, "p101") == []

    act(browser, "orders", procedure=CHEST.code)
    held = act(browser, f"orders/{only_draft(ehr)['id']}/sign")

    assert "Sign anyway" in held["orders"]


def test_a_service_that_is_away_holds_no_signature(
    browser: FlaskClient, ehr: Sandbox, service: SmallService
) -> None:
    service.check = lambda _: {"cards": "none"}
    act(browser, "orders", procedure=CHEST.code)

    answer = act(browser, f"orders/{only_draft(ehr)['id']}/sign")

    assert answer["note"].startswith("Signed")
    assert [group["state"] for group in answer["groups"]] == ["quiet", "failed"]


def test_a_signed_order_is_sent_to_radiology_without_naming_the_user(
    browser: FlaskClient, ehr: Sandbox, service: SmallService
) -> None:
    act(browser, "orders", procedure=CHEST.code)
    order = only_draft(ehr)["id"]
    act(browser, f"orders/{order}/sign")

    answer = act(browser, f"orders/{order}/dispatch")

    assert names(service)[-1] == "order-dispatch"
    assert service.hooks[-1]["context"] == {
        "patientId": "p101",
        "dispatchedOrders": [f"ServiceRequest/{order}"],
        "performer": "Practitioner/radiologist",
    }
    assert "sent to radiology" in answer["orders"]


def test_what_was_signed_is_not_removed_and_says_so(browser: FlaskClient, ehr: Sandbox) -> None:
    act(browser, "orders", procedure=CHEST.code)
    order = only_draft(ehr)["id"]
    act(browser, f"orders/{order}/sign")

    answer = browser.post(f"/chart/p101/orders/{order}/remove", json={})

    assert answer.status_code == 422
    assert answer.get_json()["failure"] == "This EHR refused it: this order is not draft."


def test_another_patients_order_is_not_found(browser: FlaskClient, ehr: Sandbox) -> None:
    other = orders.draft(ehr, "p102", CHEST)

    for step in ("sign", "remove", "dispatch"):
        path = f"/chart/p101/orders/{other['id']}/{step}"
        assert browser.post(path, json={}).status_code == 404


@pytest.mark.parametrize(
    "path", ["orders", "visit/start", "visit/discharge", "visit/end", "appointments", "feedback"]
)
def test_a_form_of_another_site_changes_nothing(browser: FlaskClient, path: str) -> None:
    assert browser.post(f"/chart/p101/{path}", data={"procedure": "x"}).status_code == 415


# --- suggestions ------------------------------------------------------------------------------


def test_an_accepted_removal_takes_the_draft_away_and_is_reported(
    browser: FlaskClient, ehr: Sandbox, service: SmallService
) -> None:
    service.check = lambda hook: cards(removal(hook))
    act(browser, "orders", procedure=CHEST.code)

    answer = act(browser, "feedback", card="c-1", outcome="accepted", suggestion="s-1")

    assert (answer["failure"], answer["note"]) == (None, "Done: Remove the draft")
    assert orders.drafts(ehr, "p101") == []
    [entry] = service.feedback[0]["feedback"]
    assert (entry["outcome"], entry["acceptedSuggestions"]) == ("accepted", [{"id": "s-1"}])


@pytest.mark.parametrize("card", ["c-9", "c-1"], ids=["never shown", "another suggestion"])
def test_only_what_a_card_offered_is_carried_out(
    browser: FlaskClient, ehr: Sandbox, service: SmallService, card: str
) -> None:
    service.check = lambda hook: cards(removal(hook))
    act(browser, "orders", procedure=CHEST.code)

    body = {"card": card, "outcome": "accepted", "suggestion": "s-9"}
    answer = browser.post("/chart/p101/feedback", json=body)

    assert answer.status_code == 422 and service.feedback == []
    assert len(orders.drafts(ehr, "p101")) == 1


def a_task(patient: str = "p101", **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Task",
        "status": "completed",
        "intent": "order",
        "for": {"reference": f"Patient/{patient}"},
        **changes,
    }


def test_a_created_task_belongs_to_the_record_under_an_id_of_its_own(ehr: Sandbox) -> None:
    carry_out(ehr, "p101", [{"type": "create", "resource": a_task(id="theirs")}])

    [task] = ehr.fhir.search("Task", {"patient": "p101"})
    assert task["id"] != "theirs" and task["authoredOn"]


@pytest.mark.parametrize(
    "action",
    [
        {"type": "create", "resource": a_task(patient="p102")},
        {"type": "create", "resource": a_task(status="bogus")},
        {"type": "create", "resource": {"resourceType": "Observation", "status": "final"}},
        {"type": "update", "resource": {"resourceType": "Patient", "id": "p101"}},
        {"type": "delete", "resourceId": "ServiceRequest/p101-A-24001"},
        {"type": "delete", "resourceId": "Patient/p101"},
        {"type": "invent"},
    ],
    ids=["another patient", "invalid", "a result", "the patient", "history", "a person", "unknown"],
)
def test_what_the_ehr_does_not_allow_undoes_the_whole_suggestion(
    ehr: Sandbox, action: dict[str, Any]
) -> None:
    with pytest.raises(SandboxRefusal):
        carry_out(ehr, "p101", [{"type": "create", "resource": a_task()}, action])

    assert ehr.fhir.search("Task", {}) == []
    assert ehr.fhir.read("ServiceRequest", "p101-A-24001") is not None


# --- the visit --------------------------------------------------------------------------------


def test_a_discharge_asks_first_and_ends_the_visit_when_completed(
    browser: FlaskClient, ehr: Sandbox, service: SmallService
) -> None:
    begun = act(browser, "visit/discharge")

    assert names(service) == ["encounter-discharge"]
    assert service.hooks[0]["context"]["encounterId"] == "p101-visit"
    assert "Complete discharge" in begun["visit"] and visits.open_visit(ehr, "p101")
    ended = act(browser, "visit/end")
    assert "No visit in progress" in ended["visit"]
    assert visits.open_visit(ehr, "p101") is None
    assert browser.post("/chart/p101/visit/discharge", json={}).status_code == 422


def test_a_discharge_that_was_given_up_leaves_the_visit(
    browser: FlaskClient, ehr: Sandbox, service: SmallService
) -> None:
    act(browser, "visit/discharge")

    answer = act(browser, "visit/resume")

    assert "Discharge…" in answer["visit"] and names(service) == ["encounter-discharge"]


def test_a_new_visit_fires_encounter_start_for_itself(
    browser: FlaskClient, ehr: Sandbox, service: SmallService
) -> None:
    act(browser, "visit/end")

    act(browser, "visit/start")

    visit = visits.open_visit(ehr, "p101")
    assert visit is not None and visit["id"] != "p101-visit"
    assert visit["reasonCode"] == [{"text": "Cough and fever for three days"}]
    assert names(service) == ["encounter-start"]
    assert service.hooks[0]["context"]["encounterId"] == visit["id"]


def test_a_chart_without_a_visit_names_no_encounter(
    browser: FlaskClient, service: SmallService
) -> None:
    act(browser, "visit/end")

    browser.get("/chart/p101/cards")

    assert "encounterId" not in service.hooks[0]["context"]


def test_a_follow_up_is_proposed_with_its_time(browser: FlaskClient, service: SmallService) -> None:
    answer = act(browser, "appointments")

    [entry] = service.hooks[0]["context"]["appointments"]["entry"]
    assert names(service) == ["appointment-book"]
    assert entry["resource"]["status"] == "proposed" and "09:00" in entry["resource"]["start"]
    assert "proposed (appointment-book)" in answer["note"]


# --- what was said ----------------------------------------------------------------------------


def test_what_was_said_hides_the_token_and_shortens_the_record(
    browser: FlaskClient, ehr: Sandbox, service: SmallService
) -> None:
    service.answer = lambda _: cards(a_card(summary="Said in the answer"))
    browser.get("/chart/p107/cards")

    said = browser.get("/chart/p107/said").text

    token = service.hooks[0]["fhirAuthorization"]["access_token"]
    assert "(hidden)" in said and token not in said and "eyJ" not in said
    assert "ImagingStudy/p107-study-A-24007 (shortened)" in said and "accession" not in said
    for words in ("patient-view", "HTTP 200", " ms", "strict-2.0", "Said in the answer"):
        assert words in said
    assert "Nothing yet." in browser.get("/chart/p102/said").text


def test_what_was_said_about_a_decision_is_the_report(
    browser: FlaskClient, service: SmallService
) -> None:
    service.answer = lambda _: cards(a_card(uuid="c-1"))
    browser.get("/chart/p101/cards")
    act(browser, "feedback", card="c-1", outcome="overridden")

    said = browser.get("/chart/p101/said").text

    assert "overridden" in said and "(no body)" in said and "patient-view" not in said
