"""The objects of the OpenAPI document: what we read, loosely, and what we answer, by the letter.

What we read is open for unknown fields, since extensions are the client's right. What we answer is
closed, so that a test against this document finds a field that nobody described.

Source: CDS Hooks 2.0; OpenAPI 3.1, whose schemas are JSON Schema 2020-12.
"""

from typing import Any

from cds_service.domain.card import SUMMARY_LIMIT, ActionType, Indicator, Outcome, SelectionBehavior
from cds_service.domain.hook import Hook
from cds_service.web.feedback_json import MAX_REPORTS
from cds_service.web.hook_json import TEXT_LIMIT

Json = dict[str, Any]

_ID = r"^[A-Za-z0-9\-.]{1,64}$"
TEXT: Json = {"type": "string", "minLength": 1}
_URL: Json = {"type": "string", "format": "uri"}
_LIMITED: Json = {**TEXT, "maxLength": TEXT_LIMIT}
_ANY_OBJECT: Json = {"type": "object"}


def ref(name: str) -> Json:
    """Point to a schema of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Json, **limits: int) -> Json:
    """Describe an array."""
    return {"type": "array", "items": items, **limits}


def closed(*required: str, **properties: Json) -> Json:
    """Describe an object of ours, with nothing in it but these."""
    return {**read(*required, **properties), "additionalProperties": False}


def read(*required: str, **properties: Json) -> Json:
    """Describe an object of the client's."""
    return {"type": "object", "required": list(required), "properties": properties}


_CODING = {"system": TEXT, "code": TEXT, "display": TEXT}

SCHEMAS: dict[str, Json] = {
    "Discovery": closed("services", services=array(ref("Service"))),
    "Service": closed(
        *("hook", "description", "id"),
        hook={"enum": [hook.value for hook in Hook]},
        hookVersion=TEXT,
        title=TEXT,
        description=TEXT,
        id=TEXT,
        version=TEXT,
        prefetch={"type": "object", "minProperties": 1, "additionalProperties": TEXT},
    ),
    "HookRequest": {
        **read(
            *("hook", "hookInstance", "context"),
            hook={"enum": [hook.value for hook in Hook], "description": "One of this service"},
            hookInstance=_LIMITED,
            context=read("patientId", patientId={"type": "string", "pattern": _ID}),
            fhirServer={**_URL, "description": "Equal to the FHIR base that is registered"},
            fhirAuthorization=ref("FhirAuthorization"),
            prefetch={"type": "object", "description": "A resource, null or nothing for each key"},
            extension=_ANY_OBJECT,
        ),
        "dependentRequired": {"fhirAuthorization": ["fhirServer"]},
    },
    "FhirAuthorization": read(
        *("access_token", "token_type", "expires_in", "scope", "subject"),
        access_token={"type": "string", "pattern": r"^[\x21-\x7e]+$"},
        token_type={"const": "Bearer"},
        expires_in={"type": "integer"},
        scope={"type": "string"},
        subject={"type": "string"},
        patient={"type": "string"},
    ),
    "HookResponse": closed("cards", cards=array(ref("Card"))),
    "Card": closed(
        *("summary", "indicator", "source"),
        uuid={"type": "string", "format": "uuid"},
        summary={**TEXT, "maxLength": SUMMARY_LIMIT - 1},
        detail=TEXT,
        indicator={"enum": [one.value for one in Indicator]},
        source=closed("label", label=TEXT, url=_URL, topic=ref("Coding")),
        suggestions=array(ref("Suggestion"), minItems=1),
        selectionBehavior={"enum": [one.value for one in SelectionBehavior]},
        overrideReasons=array(ref("OverrideReason"), minItems=1),
        links=array(ref("Link"), minItems=1),
        extension={"type": "object", "minProperties": 1},
    ),
    "Suggestion": closed(
        "label",
        label=TEXT,
        uuid={"type": "string", "format": "uuid"},
        isRecommended={"type": "boolean"},
        actions=array(ref("Action"), minItems=1),
    ),
    "Action": closed(
        *("type", "description"),
        type={"enum": [one.value for one in ActionType]},
        description=TEXT,
        resource={
            "type": ["object", "string"],
            "description": "A whole resource; for clients of 1.0 the id of what to delete",
        },
        resourceId={"type": "string", "pattern": "^[A-Z][A-Za-z]+/"},
    ),
    "Link": closed(
        *("label", "url", "type"), label=TEXT, url=_URL, type={"const": "smart"}, appContext=TEXT
    ),
    "Coding": closed("system", "code", **_CODING),
    "OverrideReason": closed("system", "code", "display", **_CODING),
    "FeedbackRequest": read("feedback", feedback=array(ref("Feedback"), maxItems=MAX_REPORTS)),
    "Feedback": read(
        *("card", "outcome", "outcomeTimestamp"),
        card={**_LIMITED, "description": "The card's uuid; printable"},
        outcome={"enum": [one.value for one in Outcome]},
        outcomeTimestamp={"type": "string", "format": "date-time"},
        acceptedSuggestions=array(read("id", id=TEXT)),
        overrideReason=read(reason=read("code", **_CODING), userComment={"type": "string"}),
    ),
    "Empty": {"type": "object", "maxProperties": 0},
    "OperationOutcome": closed(
        *("resourceType", "issue"),
        resourceType={"const": "OperationOutcome"},
        issue=array(
            closed(
                *("severity", "code", "diagnostics"),
                severity={"const": "error"},
                code=TEXT,
                diagnostics=TEXT,
            ),
            minItems=1,
            maxItems=1,
        ),
    ),
    "Readiness": closed(
        *("status", "ledger", "queue", "oldest_waiting_s"),
        status={"enum": ["ready", "degraded", "unavailable"]},
        ledger={"enum": ["up", "away"]},
        queue={"enum": ["up", "away"]},
        oldest_waiting_s={
            "type": ["integer", "null"],
            "minimum": 0,
            "description": "For how long the oldest job has waited for a worker; null: none waits",
        },
    ),
    "Resource": {
        "type": "object",
        "required": ["resourceType"],
        "properties": {"resourceType": TEXT},
    },
}
