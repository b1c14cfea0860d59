"""One Flask app: the chart, the FHIR server, the authorization server and the archive.

Source: FHIR R4 http.html (an OperationOutcome on every error).
"""

import logging

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from cds_service.sandbox import (
    archive_server,
    auth_server,
    chart,
    fhir_server,
    imaging_access_server,
)
from cds_service.sandbox.config import SandboxConfig
from cds_service.sandbox.fhir_messages import json_response, refusal_response
from cds_service.sandbox.outcomes import SandboxRefusal, operation_outcome
from cds_service.sandbox.parts import EXTENSION, open_sandbox

_FOR_MACHINES = ("/fhir", "/dicom-web", "/auth", "/imaging")
_ISSUE_CODES = {404: "not-found", 405: "not-supported", 413: "too-long"}
_log = logging.getLogger(__name__)


def create_sandbox(config: SandboxConfig) -> Flask:
    """Return the sandbox EHR as a WSGI app; its parts are in `extensions["sandbox"]`."""
    app = Flask(__name__)
    app.extensions[EXTENSION] = open_sandbox(config)
    for module in (fhir_server, auth_server, archive_server, imaging_access_server, chart):
        app.register_blueprint(module.blueprint)
    app.register_error_handler(SandboxRefusal, refusal_response)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unforeseen)
    return app


def _http_error(error: HTTPException) -> AnyResponse:
    """Say to machines in an OperationOutcome what Flask says to people in HTML."""
    if error.code is None or error.code < 400 or not request.path.startswith(_FOR_MACHINES):
        return error.get_response()
    code = _ISSUE_CODES.get(error.code, "processing")
    response = json_response(operation_outcome(code, error.name), error.code)
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _unforeseen(error: Exception) -> Response:
    """Answer 500 without a word about the cause; the log has its class, not its message."""
    _log.error("unforeseen %s at %s", type(error).__name__, request.endpoint)
    return json_response(operation_outcome("exception", "the sandbox failed"), 500)
