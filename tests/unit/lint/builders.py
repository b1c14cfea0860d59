"""Documents that keep every rule, to be broken one rule at a time."""

from typing import Any

CARD_UUID = "0b9d2c1e-3f64-4a39-9a55-5d6d3f2c7c11"
SUGGESTION_UUID = "7e2f9a40-8a0e-4c6e-9a7e-6d2a3f1b5c22"


def a_service(**changes: Any) -> dict[str, Any]:
    return _changed(
        {
            "hook": "patient-view",
            "title": "Chest findings",
            "description": "Shows findings of chest images",
            "id": "chest-findings",
            "prefetch": {
                "patient": "Patient/{{context.patientId}}",
                "studies": "ImagingStudy?patient={{context.patientId}}&_sort=-started&_count=20",
            },
        },
        changes,
    )


def discovery(*services: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"services": [*services, *([a_service(**changes)] if changes or not services else [])]}


def an_action(**changes: Any) -> dict[str, Any]:
    resource = {"resourceType": "ServiceRequest", "status": "draft", "intent": "proposal"}
    return _changed(
        {"type": "create", "description": "Order a follow-up", "resource": resource}, changes
    )


def a_deletion(**changes: Any) -> dict[str, Any]:
    return _changed(
        {"type": "delete", "description": "Remove it", "resourceId": "ServiceRequest/1"}, changes
    )


def a_suggestion(*actions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return _changed(
        {
            "label": "Follow up",
            "uuid": SUGGESTION_UUID,
            "isRecommended": True,
            "actions": list(actions) or [an_action()],
        },
        changes,
    )


def a_link(**changes: Any) -> dict[str, Any]:
    return _changed(
        {
            "label": "Open the study",
            "url": "https://ai.example.org/launch",
            "type": "smart",
            "appContext": "opaque",
        },
        changes,
    )


def a_source(**changes: Any) -> dict[str, Any]:
    return _changed(
        {
            "label": "Example",
            "url": "https://ai.example.org",
            "icon": "https://ai.example.org/icon.png",
            "topic": {"system": "http://example.org/topics", "code": "pneumonia"},
        },
        changes,
    )


def a_reason(**changes: Any) -> dict[str, Any]:
    return _changed({"system": "http://example.org/r", "code": "r1", "display": "Known"}, changes)


def a_card(**changes: Any) -> dict[str, Any]:
    return _changed(
        {
            "uuid": CARD_UUID,
            "summary": "Chest X-ray: signs of pneumonia",
            "detail": "**Score** 0.93, see <https://ai.example.org>",
            "indicator": "warning",
            "source": a_source(),
            "suggestions": [a_suggestion()],
            "selectionBehavior": "any",
            "overrideReasons": [a_reason()],
            "links": [a_link()],
            "extension": {"org.example.generatedAt": "2026-01-05T09:00:00Z"},
        },
        changes,
    )


def response(**changes: Any) -> dict[str, Any]:
    return {"cards": [a_card(**changes)]}


def suggesting(*actions: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return response(suggestions=[a_suggestion(*actions, **changes)])


def linking(**changes: Any) -> dict[str, Any]:
    return response(links=[a_link(**changes)])


def acting(**changes: Any) -> dict[str, Any]:
    return {"cards": [], "systemActions": [an_action(**changes)]}


def a_report(**changes: Any) -> dict[str, Any]:
    return _changed(
        {
            "card": CARD_UUID,
            "outcome": "accepted",
            "acceptedSuggestions": [{"id": SUGGESTION_UUID}],
            "outcomeTimestamp": "2026-01-05T09:00:00Z",
        },
        changes,
    )


def feedback(**changes: Any) -> dict[str, Any]:
    return {"feedback": [a_report(**changes)]}


def overridden(**reason: Any) -> dict[str, Any]:
    return feedback(outcome="overridden", acceptedSuggestions=..., overrideReason=reason)


def _changed(value: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return the value with changes; `...` takes a field out."""
    return {name: one for name, one in (value | changes).items() if one is not ...}
