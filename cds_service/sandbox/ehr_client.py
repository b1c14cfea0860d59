"""What the EHR's backend says to a CDS service: patient-view at chart open, and feedback.

Source: CDS Hooks 2.0 "Discovery", "HTTP Request", "Prefetch Template", "HTTP Response",
"Feedback", "Trusting CDS Clients"; SMART App Launch 2.2 "EHR Launch".
"""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from functools import lru_cache
from urllib.parse import urlencode

import requests

from cds_service.sandbox.outcomes import Resource
from cds_service.sandbox.parts import Sandbox
from cds_service.sandbox.prefetch import prefetched

HOOK = "patient-view"
TIMEOUT_S = 5.0
SUMMARY_LIMIT = 140  # characters, exclusive; CDS Hooks 2.0 "Card Attributes"
INDICATORS = ("info", "warning", "critical")


class ServiceSilent(Exception):
    """The CDS service gave no usable answer; `str()` is a sentence for the clinician."""


@dataclass(frozen=True, slots=True)
class ChartCards:
    """What came back for one opening of a chart: cards as sent, or why there are none."""

    cards: tuple[Resource, ...] = ()
    failure: str | None = None
    refused: tuple[str, ...] = field(default=())  # why a card was not shown, one sentence each


@dataclass(frozen=True, slots=True)
class Decision:
    """What the clinician did with a card: accepted a suggestion or all of it, or overrode it."""

    card_uuid: str
    is_accepted: bool
    suggestion: str | None = None  # uuid of the accepted suggestion
    reason: Mapping[str, str] | None = None  # a Coding of the card's overrideReasons
    comment: str | None = None


def open_chart(parts: Sandbox, patient_id: str) -> ChartCards:
    """Call the service's patient-view hook for this patient, within TIMEOUT_S per request."""
    try:
        service = _service(parts)
        answer = _call(parts, _service_url(parts), body=_hook_call(parts, service, patient_id))
    except ServiceSilent as silent:
        return ChartCards(failure=str(silent))
    cards = answer.get("cards")
    if not isinstance(cards, list):
        return ChartCards(
            failure="The AI service answered with something that is no list of cards."
        )
    problems = [problem_of(card) for card in cards]
    shown = tuple(card for card, problem in zip(cards, problems, strict=True) if problem is None)
    return ChartCards(shown, refused=tuple(problem for problem in problems if problem))


def send_feedback(parts: Sandbox, decision: Decision) -> str | None:
    """Report the clinician's decision; return None, or a sentence that says what failed."""
    moment = parts.config.now().astimezone(UTC).isoformat(timespec="milliseconds")
    entry: Resource = {
        "card": decision.card_uuid,
        "outcome": "accepted" if decision.is_accepted else "overridden",
        "outcomeTimestamp": moment.replace("+00:00", "Z"),
    }
    if decision.suggestion:
        entry["acceptedSuggestions"] = [{"id": decision.suggestion}]
    reason = {"reason": dict(decision.reason or {}), "userComment": decision.comment}
    stated = {key: value for key, value in reason.items() if value}
    if stated:
        entry["overrideReason"] = stated
    try:
        _call(parts, f"{_service_url(parts)}/feedback", body={"feedback": [entry]})
    except ServiceSilent as silent:
        return str(silent)
    return None


def launch_url(
    parts: Sandbox, patient_id: str, imaging_study_id: str | None, app_context: str | None = None
) -> str:
    """Register a launch for this patient, and study if one is meant, and return its address."""
    context = (
        [{"reference": f"ImagingStudy/{imaging_study_id}", "type": "ImagingStudy"}]
        if imaging_study_id
        else []
    )
    launch = parts.authorization.new_launch(
        patient=patient_id,
        user=parts.config.clinician,
        encounter=_encounter_id(parts, patient_id),
        fhir_context=context,
        app_context=app_context,
    )
    query = urlencode({"iss": parts.config.fhir_base, "launch": launch})
    return f"{parts.config.app_launch_url}?{query}"


def problem_of(card: object) -> str | None:
    """Say why a card breaks CDS Hooks 2.0 "Card Attributes" and is not shown, or return None."""
    if not isinstance(card, dict):
        return "a card is no JSON object"
    summary, source = card.get("summary"), card.get("source")
    if not isinstance(summary, str) or not 0 < len(summary) < SUMMARY_LIMIT:
        return f"a card's summary must have 1 to {SUMMARY_LIMIT - 1} characters"
    if card.get("indicator") not in INDICATORS:
        return "a card's indicator must be info, warning or critical"
    if not isinstance(source, dict) or not source.get("label"):
        return "a card must name its source"
    if card.get("suggestions") and card.get("selectionBehavior") not in ("any", "at-most-one"):
        return "a card with suggestions must say how many may be chosen"
    return None


def _hook_call(parts: Sandbox, service: Resource, patient_id: str) -> Resource:
    user = parts.config.clinician
    context = {"userId": user, "patientId": patient_id}
    encounter = _encounter_id(parts, patient_id)
    if encounter:
        context["encounterId"] = encounter
    tokens = {f"context.{name}": value for name, value in context.items()}
    tokens["userPractitionerId"] = user.removeprefix("Practitioner/")
    call: Resource = {
        "hook": HOOK,
        "hookInstance": str(uuid.uuid4()),
        "fhirServer": parts.config.fhir_base,
        "fhirAuthorization": parts.authorization.issue_hook_token(patient_id),
        "context": context,
    }
    prefetch = prefetched(parts, service.get("prefetch") or {}, tokens)
    return {**call, "prefetch": prefetch} if prefetch else call


def _encounter_id(parts: Sandbox, patient_id: str) -> str | None:
    encounters = parts.fhir.search("Encounter", {"patient": patient_id})
    return str(encounters[0]["id"]) if encounters else None


# Once per sandbox: a failed reading is not kept, so a service that starts later is found.
@lru_cache(maxsize=8)
def _service(parts: Sandbox) -> Resource:
    """Return our service's entry in the discovery document."""
    answer = _call(parts, f"{parts.config.service_base}/cds-services")
    services: Sequence[Resource] = answer.get("services") or []
    for service in services:
        if service.get("id") == parts.config.service_id and service.get("hook") == HOOK:
            return service
    raise ServiceSilent("The AI service does not offer guidance at the opening of a chart.")


def _service_url(parts: Sandbox) -> str:
    return f"{parts.config.service_base}/cds-services/{parts.config.service_id}"


def _call(parts: Sandbox, url: str, body: Resource | None = None) -> Resource:
    """GET, or POST the body, signed for exactly this URL; raise ServiceSilent unless 2xx."""
    headers = {"Authorization": f"Bearer {parts.authorization.sign_hook_jwt(url)}"}
    with requests.Session() as session:
        session.trust_env = False  # a proxy has no business between two loopback addresses
        try:
            answer = session.request(
                "GET" if body is None else "POST",
                url,
                json=body,
                headers=headers,
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
        except requests.Timeout:
            raise ServiceSilent(
                f"The AI service did not answer within {TIMEOUT_S:.0f} seconds."
            ) from None
        except requests.RequestException:
            raise ServiceSilent("The AI service did not answer.") from None
    return _content(answer, expects_body=not url.endswith("/feedback"))


def _content(answer: requests.Response, *, expects_body: bool) -> Resource:
    if answer.status_code == 401:
        raise ServiceSilent("The AI service does not trust this EHR's signature (HTTP 401).")
    if not answer.ok or answer.is_redirect:
        raise ServiceSilent(f"The AI service answered with an error (HTTP {answer.status_code}).")
    if not expects_body:
        return {}
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise ServiceSilent("The AI service answered with something this EHR cannot read.")
    return content
