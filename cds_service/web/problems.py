"""Errors on their way out: the one place that makes a status and an OperationOutcome of them.

Nobody gets a traceback. The body says what the caller can change; a 401 says nothing at all; the
log holds classes, ids and our own words.

Source: FHIR R4 OperationOutcome; CDS Hooks 2.0 "HTTP Status Codes"; threats T8 and T21.
"""

import logging
import re
import traceback
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from flask import Blueprint, Flask, Response, g, jsonify, request
from werkzeug.exceptions import HTTPException

from cds_service.errors import (
    EndpointNotAllowed,
    SightlineError,
    TooManyCalls,
    UntrustedClient,
)
from cds_service.web.services import services

log = logging.getLogger(__name__)

FHIR_JSON = "application/fhir+json"
_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_CODES = {
    400: "structure",
    404: "not-found",
    405: "not-supported",
    413: "too-long",
    415: "not-supported",
}


def install(target: Flask | Blueprint) -> None:
    """Let an application, or one blueprint, answer its errors here."""
    target.register_error_handler(SightlineError, on_sightline_error)
    target.register_error_handler(HTTPException, on_http_error)
    target.register_error_handler(Exception, on_unexpected_error)


def request_id() -> str:
    """Return this request's id: the caller's if it is a plain one, else one of our own."""
    if "request_id" not in g:
        given = request.headers.get("X-Request-Id", "")
        g.request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
    return str(g.request_id)


def outcome(status: int, code: str, text: str) -> Response:
    """Make a response with an OperationOutcome of one issue."""
    issue = {"severity": "error", "code": code, "diagnostics": text}
    response = jsonify({"resourceType": "OperationOutcome", "issue": [issue]})
    response.status_code = status
    response.content_type = FHIR_JSON
    response.headers["X-Request-Id"] = request_id()
    return response


def on_sightline_error(error: SightlineError) -> Response:
    """Answer one of our own errors."""
    if isinstance(error, UntrustedClient):
        return _unauthorized(error)
    if error.http_status >= 500 or isinstance(error, EndpointNotAllowed):
        log.error("request failed: error=%s request=%s", type(error).__name__, request_id())
    response = outcome(error.http_status, error.issue_code, str(error))
    if isinstance(error, TooManyCalls):
        log.warning("too many calls: ehr=%r request=%s", error.tenant_name, request_id())
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response


def on_http_error(error: HTTPException) -> Response:
    """Answer what Flask or Werkzeug refused, in our words."""
    status = error.code or 500
    response = outcome(status, _CODES.get(status, "processing"), f"{error.name}.")
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def on_unexpected_error(error: Exception) -> Response:
    """Answer a bug: an id for the caller, class and place for the log, no message of others."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    log.error(
        "unexpected error: class=%s at=%s request=%s", type(error).__name__, place, request_id()
    )
    text = f"Something went wrong here. The administrator finds it under {request_id()}."
    return outcome(500, "exception", text)


def _unauthorized(error: UntrustedClient) -> Response:
    """Answer 401 without a reason; the administrator's log line has it."""
    # An archive's address may name a study; quoted, since anybody may send line breaks.
    address = str(request.url_rule) if request.blueprint == "stow" else quote(request.path)
    log.warning(
        "client refused: reason=%s ehr=%s expected_aud=%s request=%s",
        error.reason,
        "unknown" if error.tenant_name is None else repr(error.tenant_name),
        services().public_url + address,
        request_id(),
    )
    response = Response(status=401, headers={"WWW-Authenticate": "Bearer"})
    response.headers.remove("Content-Type")
    response.headers["X-Request-Id"] = request_id()
    return response
