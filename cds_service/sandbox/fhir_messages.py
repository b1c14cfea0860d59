"""FHIR over HTTP: what may be sent and accepted, read strictly, and how answers look.

Source: FHIR R4 http.html (content types, ETag, Location, Prefer), json.html; RFC 9110.
"""

import json
from collections.abc import Iterable
from datetime import datetime
from email.utils import format_datetime
from typing import Any, NoReturn

from flask import Response, request

from cds_service.sandbox.outcomes import (
    MalformedRequest,
    NotAcceptable,
    Resource,
    SandboxRefusal,
    UnsupportedMedia,
)
from cds_service.sandbox.parts import sandbox_parts

FHIR_JSON = "application/fhir+json"
_JSON = frozenset({FHIR_JSON, "application/json"})
_DEPTH_LIMIT = 64  # levels of nesting; no resource here needs half of that


def require_acceptable() -> None:
    """Raise NotAcceptable unless the client takes FHIR JSON."""
    wanted = request.args.get("_format")
    if wanted is not None:
        acceptable = wanted in (*_JSON, "json")
    else:
        accepted = {
            value.partition(";")[0].strip()
            for value, quality in request.accept_mimetypes
            if quality > 0
        }
        acceptable = not accepted or bool(accepted & {*_JSON, "application/*", "*/*"})
    if not acceptable:
        raise NotAcceptable(f"this server answers in {FHIR_JSON} only")


def read_json() -> Any:  # noqa: ANN401  JSON of any shape
    """Return the request's JSON body; raise UnsupportedMedia or MalformedRequest."""
    if request.mimetype not in _JSON:
        raise UnsupportedMedia(f"this server reads {FHIR_JSON} only")
    try:
        document = json.loads(
            request.get_data().decode("utf-8"),
            parse_constant=_refuse_constant,
            object_pairs_hook=_without_duplicates,
        )
        # Refuses 1e999 (infinite) and lone surrogates, which JSON text can hold and UTF-8 cannot.
        json.dumps(document, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise MalformedRequest("the body is not well-formed JSON") from None
    if _is_deeper_than(document, _DEPTH_LIMIT):
        raise MalformedRequest("the body is nested too deeply")
    return document


def resource_response(resource: Resource, status: int = 200, *, is_write: bool = False) -> Response:
    """Answer with a resource, its ETag and Last-Modified; a write also says where it lies."""
    meta = resource["meta"]
    location = f"{resource['resourceType']}/{resource['id']}/_history/{meta['versionId']}"
    response = json_response(resource, status)
    if is_write:
        if "return=minimal" in request.headers.get("Prefer", ""):
            response.set_data(b"")
        response.headers["Location"] = f"{sandbox_parts().config.fhir_base}/{location}"
    response.headers["ETag"] = f'W/"{meta["versionId"]}"'
    updated = datetime.fromisoformat(meta["lastUpdated"])
    response.headers["Last-Modified"] = format_datetime(updated, usegmt=True)
    return response


def refusal_response(refusal: SandboxRefusal) -> Response:
    """Answer with the refusal's OperationOutcome; 401 and 403 also challenge (RFC 6750 3)."""
    response = json_response(refusal.as_outcome(), refusal.http_status)
    challenge = 'Bearer realm="sandbox"'
    if refusal.http_status == 401 and "Authorization" in request.headers:
        challenge += ', error="invalid_token"'
    elif refusal.http_status == 403:
        challenge += ', error="insufficient_scope"'
    if refusal.http_status in (401, 403):
        response.headers["WWW-Authenticate"] = challenge
    return response


def json_response(document: Resource, status: int = 200) -> Response:
    """Answer with FHIR JSON that no cache keeps."""
    response = Response(json.dumps(document), status=status, mimetype=FHIR_JSON)
    response.headers["Cache-Control"] = "no-store"
    return response


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


def _without_duplicates(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    pairs = list(pairs)
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a member is there twice")
    return members


def _is_deeper_than(document: object, limit: int) -> bool:
    level = [document]
    for _ in range(limit):
        level = [
            child
            for element in level
            if isinstance(element, dict | list)
            for child in (element.values() if isinstance(element, dict) else element)
        ]
        if not level:
            return False
    return True
