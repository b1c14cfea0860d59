"""CDS Hooks requests: JSON to hook calls, naming the field that is wrong.

Unknown fields are let through, in every object: extensions are the client's right.

Source: CDS Hooks 2.0 "HTTP Request", "Prefetch Template", "FHIR Resource Access".
"""

import re
from collections.abc import Mapping
from typing import Any

from cds_service.domain.hook import OFFERED, FhirAuthorization, HookCall, Prefetch, PrefetchState
from cds_service.errors import MalformedHook

Json = Mapping[str, Any]

TEXT_LIMIT = 256
_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_REFERENCE = re.compile(r"[A-Za-z]{1,64}/[A-Za-z0-9\-.]{1,64}")


def hook_call(document: object, *, tenant_id: str, service_id: str) -> HookCall:
    """Read a hook request for one of our services; raise MalformedHook.

    Of the context only `patientId` is required: order-dispatch has no `userId`, and what else a
    hook promises is the client's duty, which costs no answer when it is neglected.
    """
    body = require_object(document, "The body")
    hook = next((one for one in OFFERED[service_id] if one == body.get("hook")), None)
    if hook is None:
        known = ", ".join(OFFERED[service_id])
        raise MalformedHook(f"'hook' must be one that {service_id} answers: {known}.")
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
    if value.get("resourceType") == "OperationOutcome":
        # A warning is Epic's way to say "none found" (code 4101).
        return Prefetch(PrefetchState.FAILED if _is_error(value) else PrefetchState.NULL)
    entries = value.get("entry") if value.get("resourceType") == "Bundle" else None
    resources = [
        entry.get("resource")
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
    ]
    outcomes = [
        one
        for one in resources
        if isinstance(one, dict) and one.get("resourceType") == "OperationOutcome"
    ]
    if any(_is_error(one) for one in outcomes):
        return Prefetch(PrefetchState.FAILED, value if len(resources) > len(outcomes) else None)
    return Prefetch(PrefetchState.PRESENT, value)


def _is_error(outcome: Json) -> bool:
    """Tell whether an outcome reports more than warnings and information (ch2:50, ch2:52)."""
    issues = outcome.get("issue")
    severities = [
        issue.get("severity")
        for issue in (issues if isinstance(issues, list) else [])
        if isinstance(issue, dict)
    ]
    return not severities or any(one not in ("warning", "information") for one in severities)


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
