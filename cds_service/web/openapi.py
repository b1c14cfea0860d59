"""GET /openapi.json: our HTTP interface for programs, so that a client need not guess.

It describes what a strict 2.0 client sends and gets. Pages for people are docs/reference/*.

Source: OpenAPI 3.1.1; CDS Hooks 2.0; FHIR R4 RESTful API.
"""

from http import HTTPStatus
from importlib.metadata import version
from typing import Any

from flask import Blueprint, Response, jsonify

from cds_service.domain.hook import OFFERED
from cds_service.web import problems
from cds_service.web.openapi_schemas import SCHEMAS, TEXT, ref
from cds_service.web.problems import FHIR_JSON
from cds_service.web.services import services

Json = dict[str, Any]

# What a call can be refused with; 401 has no body.
_DISCOVERY_REFUSALS = (401, 500, 503)
_CALL_REFUSALS = (400, 401, 404, 412, 413, 415, 429, 500, 503)
_FEEDBACK_REFUSALS = (400, 401, 404, 413, 415, 429, 500, 503)
_TOKEN: list[Json] = [{"clientToken": []}]
_SERVICE_ID: Json = {
    "name": "service_id",
    "in": "path",
    "required": True,
    "schema": {"enum": list(OFFERED)},
}

blueprint = Blueprint("openapi", __name__)
problems.install(blueprint)


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """Return the OpenAPI document; public, it says nothing about anybody."""
    return jsonify(document(services().public_url))


def document(public_url: str) -> Json:
    """Return the OpenAPI document of a service at this address."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Sightline",
            "summary": "Imaging-AI findings inside the EHR: a CDS Hooks service",
            "version": version("sightline"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": public_url}],
        "paths": {**_hook_paths(), **_other_paths()},
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "clientToken": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "Signed by the EHR for the address called; used once",
                }
            },
        },
    }


def _hook_paths() -> Json:
    return {
        "/cds-services": {
            "get": {
                "operationId": "discovery",
                "summary": "The CDS services and their hooks",
                "security": [{}, *_TOKEN],
                "responses": _answers("Discovery", *_DISCOVERY_REFUSALS),
            }
        },
        "/cds-services/{service_id}": {
            "parameters": [_SERVICE_ID],
            "post": {
                "operationId": "call",
                "summary": "Ask for cards about a patient",
                "security": _TOKEN,
                "requestBody": _body("HookRequest"),
                "responses": _answers("HookResponse", *_CALL_REFUSALS),
            },
        },
        "/cds-services/{service_id}/feedback": {
            "parameters": [_SERVICE_ID],
            "post": {
                "operationId": "feedback",
                "summary": "Say what became of cards",
                "security": _TOKEN,
                "requestBody": _body("FeedbackRequest"),
                "responses": _answers("Empty", *_FEEDBACK_REFUSALS),
            },
        },
    }


def _other_paths() -> Json:
    logical_id: Json = {"name": "id", "in": "path", "required": True, "schema": TEXT}
    resource = _content("Resource", FHIR_JSON)
    return {
        "/fhir/metadata": {"get": _public("metadata", "What our FHIR endpoint can do", resource)},
        **{
            f"/fhir/{kind}/{{id}}": {
                "parameters": [logical_id],
                "get": _public(name, summary, resource, 404),
            }
            for kind, name, summary in (
                ("Device", "device", "The AI model as a Device"),
                ("DocumentReference", "document", "The model's card"),
                ("Provenance", "provenance", "Where the model's card comes from"),
                ("Bundle", "bundle", "The model, its card and where that comes from"),
            )
        },
        "/health/live": {
            "get": _public("live", "Is the process alive", {"application/json": {}}),
        },
        "/health/ready": {
            "get": {
                "operationId": "ready",
                "summary": "Can hooks be answered",
                "responses": {
                    "200": {"description": "Yes", "content": _content("Readiness")},
                    "503": {"description": "No", "content": _content("Readiness")},
                },
            }
        },
    }


def _public(name: str, summary: str, content: Json, *refusals: int) -> Json:
    answers: Json = {"200": {"description": "OK", "content": content}}
    return {
        "operationId": name,
        "summary": summary,
        "responses": answers | {str(status): _refusal(status) for status in refusals},
    }


def _answers(schema: str, *refusals: int) -> Json:
    answers: Json = {"200": {"description": "OK", "content": _content(schema)}}
    return answers | {str(status): _refusal(status) for status in refusals}


def _refusal(status: int) -> Json:
    description = HTTPStatus(status).phrase
    if status == HTTPStatus.UNAUTHORIZED:
        return {"description": f"{description}; no body and no reason"}
    return {"description": description, "content": _content("OperationOutcome", FHIR_JSON)}


def _body(schema: str) -> Json:
    return {"required": True, "content": _content(schema)}


def _content(schema: str, media_type: str = "application/json") -> Json:
    return {media_type: {"schema": ref(schema)}}
