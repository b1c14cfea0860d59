"""CDS Hooks requests: JSON to hook calls, naming the field that is wrong.

Unknown fields are let through, in every object: extensions are the client's right.

Source: CDS Hooks 2.0 "HTTP Request", "Prefetch Template", "FHIR Resource Access".
"""

import re
from collections.abc import Mapping
from typing import Any

from cds_service.domain.hook import FhirAuthorization, HookCall, Prefetch, PrefetchState
from cds_service.errors import MalformedHook

Json = Mapping[str, Any]

TEXT_LIMIT = 256
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_REFERENCE = re.compile(r"[A-Za-z]{1,64}/[A-Za-z0-9\-.]{1,64}")


def hook_call(document: object, *, tenant_id: str, service_id: str, hook: str) -> HookCall:
    """Read a hook request; raise MalformedHook."""
    body = require_object(document, "The body")
    if body.get("hook") != hook:
        raise MalformedHook(f"'hook' must be '{hook}' for this service.")
    context = require_object(body.get("context"), "'context'")
    patient_id = context.get("patientId")
    if not isinstance(patient_id, str) or not _ID.fullmatch(patient_id):
        raise MalformedHook("'context.patientId' must be the id of a Patient.")
    user_id = context.get("userId")
    is_reference = isinstance(user_id, str) and _REFERENCE.fullmatch(user_id)
    fhir_server = body.get("fhirServer")
    if fhir_server is not None and not isinstance(fhir_server, str):
        raise MalformedHook("'fhirServer' must be a URL.")
    authorization = _authorization(body.get("fhirAuthorization"))
    if authorization is not None and fhir_server is None:
        raise MalformedHook("'fhirServer' is required with 'fhirAuthorization'.")
    return HookCall(
        tenant_id=tenant_id,
        service_id=service_id,
        hook=hook,
        hook_instance=require_text(body.get("hookInstance"), "'hookInstance'"),
        patient_id=patient_id,
        user_id=user_id if is_reference else None,
        context=context,
        fhir_server=fhir_server,
        authorization=authorization,
        prefetch=_prefetch(body.get("prefetch")),
    )


def _authorization(value: object) -> FhirAuthorization | None:
    if value is None:
        return None
    given = require_object(value, "'fhirAuthorization'")
    if str(given.get("token_type", "")).lower() != "bearer":
        raise MalformedHook("'fhirAuthorization.token_type' must be 'Bearer'.")
    expires_in, patient = given.get("expires_in"), given.get("patient")
    if type(expires_in) is not int:
        raise MalformedHook("'fhirAuthorization.expires_in' must be a whole number of seconds.")
    scope = given.get("scope")
    if not isinstance(scope, str):
        raise MalformedHook("'fhirAuthorization.scope' must be a text.")
    token = given.get("access_token")
    # It becomes a header of ours: what cannot be one is no token.
    if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
        raise MalformedHook("'fhirAuthorization.access_token' must be a token.")
    return FhirAuthorization(
        access_token=token,
        scope=scope,
        expires_in_s=expires_in,
        patient=patient if isinstance(patient, str) else None,
    )


def _prefetch(value: object) -> dict[str, Prefetch]:
    if value is None:
        return {}
    given = require_object(value, "'prefetch'")
    states = {key: _prefetched(one) for key, one in given.items()}
    return {key: state for key, state in states.items() if state is not None}


def _prefetched(value: object) -> Prefetch | None:
    """Judge one key; a text or a number is treated as not sent."""
    if value is None:
        return Prefetch(PrefetchState.NULL)
    if not isinstance(value, dict):
        return None
    if value.get("resourceType") != "OperationOutcome":
        return Prefetch(PrefetchState.PRESENT, value)
    issues = value.get("issue")
    severities = [
        issue.get("severity")
        for issue in (issues if isinstance(issues, list) else [])
        if isinstance(issue, dict)
    ]
    # A warning is Epic's way to say "none found" (code 4101).
    harmless = severities and all(one in ("warning", "information") for one in severities)
    return Prefetch(PrefetchState.NULL if harmless else PrefetchState.FAILED)


def require_object(value: object, name: str) -> Json:
    """Return the object; raise MalformedHook naming it."""
    if not isinstance(value, dict):
        raise MalformedHook(f"{name} must be a JSON object.")
    return value


def require_text(value: object, name: str) -> str:
    """Return a text of 1 to TEXT_LIMIT characters; raise MalformedHook naming it."""
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LIMIT:
        raise MalformedHook(f"{name} must be a text of 1 to {TEXT_LIMIT} characters.")
    return value
