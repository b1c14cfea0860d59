"""What the EHR's backend says to CDS services: every hook of the chart, and feedback.

Source: CDS Hooks 2.0 "Discovery", "HTTP Request", "Feedback"; CDS Hooks Library 1.0.1;
SMART App Launch 2.2 "EHR Launch".
"""

import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from cds_service.sandbox.conversation import Exchange
from cds_service.sandbox.outcomes import Resource
from cds_service.sandbox.parts import Sandbox
from cds_service.sandbox.prefetch import prefetched
from cds_service.sandbox.service_call import ServiceSilent, call
from cds_service.sandbox.visits import open_visit

PATIENT_VIEW = "patient-view"
ORDER_SELECT = "order-select"
ORDER_SIGN = "order-sign"
ORDER_DISPATCH = "order-dispatch"
ENCOUNTER_START = "encounter-start"
ENCOUNTER_DISCHARGE = "encounter-discharge"
APPOINTMENT_BOOK = "appointment-book"

SUMMARY_LIMIT = 140  # characters, exclusive; CDS Hooks 2.0 "Card Attributes"
INDICATORS = ("info", "warning", "critical")


@dataclass(frozen=True, slots=True)
class ServiceCards:
    """What one service answered to one hook: cards as sent, or why there are none."""

    service_id: str
    title: str
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


def fire(
    parts: Sandbox, patient_id: str, hook: str, more: Mapping[str, Any] | None = None
) -> tuple[ServiceCards, ...]:
    """Call every service of this hook, all at the same time; one answer for each.

    more   the hook's own context fields, as `draftOrders`
    """
    try:
        services = [one for one in _services(parts) if one.get("hook") == hook]
    except ServiceSilent as silent:
        ours = parts.config.service_id
        return (ServiceCards(ours, ours, failure=str(silent)),)
    if not services:
        return ()
    context = _context(parts, patient_id, hook) | dict(more or {})
    with ThreadPoolExecutor(len(services)) as pool:
        asked = list(pool.map(lambda one: _ask(parts, patient_id, one, context), services))
    parts.conversation.say(patient_id, [exchange for _, exchange in asked])
    for answer, _ in asked:
        parts.conversation.keep(patient_id, answer.service_id, answer.cards)
    return tuple(answer for answer, _ in asked)


def send_feedback(
    parts: Sandbox, patient_id: str, service_id: str, decision: Decision
) -> str | None:
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
    url, body = f"{_service_url(parts, service_id)}/feedback", {"feedback": [entry]}
    reply = call(parts, url, body, expects_body=False)
    parts.conversation.say(
        patient_id, [Exchange(service_id, "feedback", url, reply.took_ms, reply.status, body)]
    )
    return reply.failure


def launch_url(
    parts: Sandbox, patient_id: str, imaging_study_id: str | None, app_context: str | None = None
) -> str:
    """Register a launch for this patient, and study if one is meant, and return its address."""
    context = (
        [{"reference": f"ImagingStudy/{imaging_study_id}", "type": "ImagingStudy"}]
        if imaging_study_id
        else []
    )
    visit = open_visit(parts, patient_id)
    launch = parts.authorization.new_launch(
        patient=patient_id,
        user=parts.config.clinician,
        encounter=visit["id"] if visit else None,
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


def _context(parts: Sandbox, patient_id: str, hook: str) -> Resource:
    """Return the context fields that are not the hook's own; order-dispatch names no user."""
    context: Resource = {"patientId": patient_id}
    if hook == ORDER_DISPATCH:
        return context
    context["userId"] = parts.config.clinician
    if visit := open_visit(parts, patient_id):
        context["encounterId"] = visit["id"]
    return context


def _ask(
    parts: Sandbox, patient_id: str, service: Resource, context: Resource
) -> tuple[ServiceCards, Exchange]:
    service_id, hook = str(service.get("id")), str(service.get("hook"))
    body: Resource = {
        "hook": hook,
        "hookInstance": str(uuid.uuid4()),
        "fhirServer": parts.config.fhir_base,
        "fhirAuthorization": parts.authorization.issue_hook_token(patient_id),
        "context": context,
    }
    prefetch = prefetched(parts, service.get("prefetch") or {}, _tokens(context))
    if prefetch:
        body["prefetch"] = prefetch
    url = _service_url(parts, service_id)
    reply = call(parts, url, body)
    title = str(service.get("title") or service_id)
    answer = _judged(service_id, title, reply.content, reply.failure)
    return answer, Exchange(service_id, hook, url, reply.took_ms, reply.status, body, reply.content)


def _tokens(context: Resource) -> dict[str, str]:
    """Return what prefetch templates may name (CDS Hooks 2.0 "Prefetch Tokens")."""
    texts = {name: value for name, value in context.items() if isinstance(value, str)}
    tokens = {f"context.{name}": value for name, value in texts.items()}
    if "userId" in texts:
        tokens["userPractitionerId"] = texts["userId"].removeprefix("Practitioner/")
    return tokens


def _judged(
    service_id: str, title: str, content: Resource | None, failure: str | None
) -> ServiceCards:
    cards = (content or {}).get("cards")
    if failure is None and not isinstance(cards, list):
        failure = "The AI service answered with something that is no list of cards."
    if failure is not None or not isinstance(cards, list):
        return ServiceCards(service_id, title, failure=failure)
    problems = [problem_of(card) for card in cards]
    shown = tuple(card for card, problem in zip(cards, problems, strict=True) if problem is None)
    refused = tuple(problem for problem in problems if problem)
    return ServiceCards(service_id, title, shown, refused=refused)


# Once per sandbox: a failed reading is not kept, so a service that starts later is found.
@lru_cache(maxsize=8)
def _services(parts: Sandbox) -> Sequence[Resource]:
    """Return the services of the discovery document; raise ServiceSilent."""
    document = call(parts, f"{parts.config.service_base}/cds-services").require()
    services = document.get("services")
    listed = services if isinstance(services, list) else []
    found = [one for one in listed if isinstance(one, dict)]
    if not found:
        raise ServiceSilent("The AI service offers no guidance.")
    return found


def _service_url(parts: Sandbox, service_id: str) -> str:
    return f"{parts.config.service_base}/cds-services/{service_id}"
