"""What the EHR's backend sends to a CDS service, and what it makes of the answers."""

import uuid
from threading import Event
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from werkzeug.wrappers import Response

from cds_service.sandbox import service_call
from cds_service.sandbox.ehr_client import (
    PATIENT_VIEW,
    Decision,
    ServiceCards,
    fire,
    launch_url,
    send_feedback,
)
from cds_service.sandbox.parts import Sandbox
from tests.unit.sandbox_chart.service import SmallService, a_card, cards


def open_chart(parts: Sandbox, patient: str) -> ServiceCards:
    [answer] = fire(parts, patient, PATIENT_VIEW)
    return answer


def report(parts: Sandbox, decision: Decision) -> str | None:
    return send_feedback(parts, "p101", "imaging-ai-findings", decision)


def test_opening_a_chart_sends_a_signed_hook_and_shows_the_cards(
    parts: Sandbox, service: SmallService
) -> None:
    service.answer = lambda _: cards(a_card())

    answer = open_chart(parts, "p101")

    assert (answer.failure, answer.cards) == (None, (a_card(),))
    (hook,) = service.hooks
    assert hook["hook"] == "patient-view"
    assert uuid.UUID(hook["hookInstance"]).version == 4
    assert hook["context"] == {
        "userId": "Practitioner/clinician",
        "patientId": "p101",
        "encounterId": "p101-visit",
    }
    assert hook["fhirServer"] == "http://localhost:8001/fhir"


def test_the_hook_carries_a_token_for_this_patient_alone(
    parts: Sandbox, service: SmallService
) -> None:
    open_chart(parts, "p101")

    authorization = service.hooks[0]["fhirAuthorization"]
    assert authorization["patient"] == "p101"
    assert (authorization["token_type"], authorization["subject"]) == ("Bearer", "sightline")
    assert parts.authorization.introspect(authorization["access_token"])["active"]


def test_prefetch_is_resolved_key_by_key(parts: Sandbox, service: SmallService) -> None:
    open_chart(parts, "p107")

    prefetch = service.hooks[0]["prefetch"]
    assert prefetch["patient"]["id"] == "p107"
    assert prefetch["user"]["resourceType"] == "Practitioner"
    started = [entry["resource"]["started"] for entry in prefetch["studies"]["entry"]]
    assert started == sorted(started, reverse=True) and prefetch["studies"]["total"] == 2
    assert prefetch["devices"] is None  # looked, found nothing
    assert {"later", "unsupported"}.isdisjoint(prefetch)  # could not look


def test_a_patient_without_imaging_sends_null_for_the_studies(
    parts: Sandbox, service: SmallService
) -> None:
    open_chart(parts, "p108")

    assert service.hooks[0]["prefetch"]["studies"] is None


def test_discovery_is_read_once_for_many_openings(parts: Sandbox, service: SmallService) -> None:
    for patient in ("p101", "p102", "p103"):
        open_chart(parts, patient)

    assert (service.discoveries, len(service.hooks)) == (1, 3)


def test_a_service_that_is_not_there_becomes_a_sentence_and_is_found_later(
    parts: Sandbox, service: SmallService
) -> None:
    trusted, service.keys = service.keys, lambda: {"keys": []}
    first = open_chart(parts, "p101")
    service.keys = trusted

    second = open_chart(parts, "p101")

    assert first.failure is not None and first.failure.startswith("The AI service")
    assert second.failure is None


def test_a_slow_service_is_not_waited_for(
    parts: Sandbox, service: SmallService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_call, "TIMEOUT_S", 0.2)
    given_up = Event()
    service.answer = lambda _: cards(a_card()) if given_up.wait(60) else cards()

    answer = open_chart(parts, "p101")
    given_up.set()

    assert answer.failure is not None and "did not answer within" in answer.failure


@pytest.mark.parametrize(
    ("response", "sentence"),
    [
        (Response(status=401), "The AI service does not trust this EHR's signature (HTTP 401)."),
        (Response(status=500), "The AI service answered with an error (HTTP 500)."),
        (Response("<html>"), "The AI service answered with something this EHR cannot read."),
        (
            Response("{}", content_type="application/json"),
            "The AI service answered with something that is no list of cards.",
        ),
    ],
)
def test_a_bad_answer_becomes_a_sentence(
    parts: Sandbox, service: SmallService, response: Response, sentence: str
) -> None:
    service.answer = lambda _: response

    assert open_chart(parts, "p101").failure == sentence


@pytest.mark.parametrize(
    "broken",
    [
        a_card(summary="x" * 140),
        a_card(indicator="hard-stop"),
        a_card(source={}),
        a_card(suggestions=[{"label": "Do it"}]),
    ],
)
def test_a_card_that_breaks_the_standard_is_refused_and_the_others_are_shown(
    parts: Sandbox, service: SmallService, broken: dict[str, Any]
) -> None:
    service.answer = lambda _: cards(broken, a_card())

    answer = open_chart(parts, "p101")

    assert len(answer.refused) == 1 and answer.cards == (a_card(),)


def test_a_dismissal_reports_its_reason(parts: Sandbox, service: SmallService) -> None:
    reason = {"code": "disagree", "system": "urn:x", "display": "I disagree"}

    failure = report(parts, Decision("c-1", False, reason=reason, comment="Rotated film"))

    assert failure is None
    (entry,) = service.feedback[0]["feedback"]
    assert (entry["card"], entry["outcome"]) == ("c-1", "overridden")
    assert entry["overrideReason"] == {"reason": reason, "userComment": "Rotated film"}
    assert entry["outcomeTimestamp"].endswith("Z")


def test_an_acceptance_names_the_suggestion_and_nothing_empty(
    parts: Sandbox, service: SmallService
) -> None:
    report(parts, Decision("c-1", True, suggestion="s-9"))

    (entry,) = service.feedback[0]["feedback"]
    assert set(entry) == {"card", "outcome", "outcomeTimestamp", "acceptedSuggestions"}
    assert entry["acceptedSuggestions"] == [{"id": "s-9"}]


def test_a_launch_address_carries_the_issuer_and_an_opaque_id(parts: Sandbox) -> None:
    address = urlsplit(launch_url(parts, "p101", "p101-study-A-24001", "opaque"))

    query = parse_qs(address.query)
    assert address.path == "/app/launch" and query["iss"] == ["http://localhost:8001/fhir"]
    assert "p101" not in query["launch"][0] and set(query) == {"iss", "launch"}
