"""The CDS Hooks services: discovery, their hooks and their feedback.

Source: CDS Hooks 2.0 "Discovery", "Calling a CDS Service", "Feedback", "CORS".
"""

import time
from functools import partial

from flask import Blueprint, Response, g, jsonify, request

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.dialect import DIALECTS, DialectName
from cds_service.domain.hook import HookCall
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    BodyTooLarge,
    LedgerUnavailable,
    MalformedHook,
    MediaTypeRefused,
)
from cds_service.fhir import bounded_json
from cds_service.usecases.answer_hook import COMPOSING_S
from cds_service.web import feedback_json, hook_json, offered, problems
from cds_service.web.cards_json import CardsJson
from cds_service.web.epic_request import note_epic_request
from cds_service.web.services import services

blueprint = Blueprint("hooks", __name__)
problems.install(blueprint)


@blueprint.before_request
def start_the_clock() -> None:
    """The deadline counts from here, token and body included."""
    g.started = time.monotonic()


@blueprint.after_request
def finish(response: Response) -> Response:
    """Let registered pages read the answer (CORS), and nobody keep it; name the request."""
    response.headers.setdefault("X-Request-Id", problems.request_id())
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.add("Vary", "Origin")
    origin = request.headers.get("Origin")
    if origin and _is_registered_page(origin):
        response.headers["Access-Control-Allow-Origin"] = origin
        response.headers["Access-Control-Allow-Methods"] = "GET, POST, OPTIONS"
        response.headers["Access-Control-Allow-Headers"] = "authorization, content-type"
        response.headers["Access-Control-Expose-Headers"] = "x-request-id"
        response.headers["Access-Control-Max-Age"] = "600"
    return response


@blueprint.get("/cds-services")
def discovery() -> Response:
    """List the services; it holds nothing about anybody, and most sites leave it public."""
    here = services()
    authorization = request.headers.get("Authorization")
    dialect = DIALECTS[here.client_trust.discovery_dialect(authorization, _address())]
    return jsonify({"services": offered.entries(here.models(), dialect)})


@blueprint.post("/cds-services/<service_id>")
def call(service_id: str) -> Response:
    """Answer a hook with cards, within the deadline."""
    offered.require_offered(service_id)
    with services().within(_left_s()):
        return _answer(service_id)


def _answer(service_id: str) -> Response:
    here = services()
    authorization = request.headers.get("Authorization")
    tenant = here.client_trust.verify(
        authorization, [_address()], timeout_s=_left_s() - COMPOSING_S
    )
    body = _json_body()
    if tenant.dialect is DialectName.EPIC:
        note_epic_request(body, tenant, address=_address(), request_id=problems.request_id())
    hook_call = hook_json.hook_call(body, tenant_id=tenant.id, service_id=service_id)
    _require_registered_server(hook_call, tenant)
    writer = CardsJson(DIALECTS[tenant.dialect], partial(here.seal_context, tenant.id))
    return jsonify(writer.response(here.answer_hook(hook_call, tenant, _left_s())))


@blueprint.post("/cds-services/<service_id>/feedback")
def feedback(service_id: str) -> Response:
    """Keep what became of cards. Reports about cards of others are answered the same."""
    offered.require_offered(service_id)
    here = services()
    # Clients sign either address: the standard says the one invoked, older ones the service's.
    audiences = [_address(), f"{here.public_url}/cds-services/{service_id}"]
    tenant = here.client_trust.verify(request.headers.get("Authorization"), audiences)
    here.record_feedback(feedback_json.feedback(_json_body(), tenant_id=tenant.id))
    return jsonify({})


def _is_registered_page(origin: str) -> bool:
    here = services().client_trust
    try:
        return any(origin in tenant.origins for tenant in here.tenants.last_known())
    except LedgerUnavailable:
        return False


def _address() -> str:
    """Return our own address of this request, from the settings and never from Host."""
    return services().public_url + request.path


def _left_s() -> float:
    return services().hook_deadline_s - (time.monotonic() - float(g.started))


def _json_body() -> object:
    mimetype = request.mimetype
    if mimetype != "application/json" and not mimetype.endswith("+json"):
        raise MediaTypeRefused("The body must be application/json.")
    limit = services().hook_body_limit_bytes
    too_large = BodyTooLarge(f"The body is larger than {limit} bytes.")
    if (request.content_length or 0) > limit:
        raise too_large
    # A chunked body is cut at this length without an error (Werkzeug 3.1, LimitedStream.readall).
    request.max_content_length = limit + 1
    body = request.get_data(cache=False)
    if len(body) > limit:
        raise too_large
    try:
        return bounded_json.parse(body)
    except ValueError as error:
        raise MalformedHook("The body is not JSON, or nested too deeply.") from error


def _require_registered_server(hook_call: HookCall, tenant: Tenant) -> None:
    """Refuse a hook that names another FHIR server: its token would go there (threat T7)."""
    named = hook_call.fhir_server
    if named is None or named.rstrip("/") == tenant.fhir_base:
        return
    here = services()
    here.audit.record(
        AuditEvent(
            action=AuditAction.ADDRESS_REFUSED,
            at=here.clock(),
            tenant_id=tenant.id,
            agent="cds-client",
            outcome="MalformedHook",
            detail="fhirServer of a hook",
        )
    )
    raise MalformedHook("'fhirServer' is not the FHIR base that is registered for this EHR.")
