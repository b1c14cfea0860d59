"""Our own FHIR endpoint: what it can do, and the AI model as a Device. No patient data.

Source: FHIR R4 CapabilityStatement, Device; HL7 AI Transparency on FHIR 1.0.0-ballot.
"""

from typing import Any

from flask import Blueprint, Response, jsonify

from cds_service.errors import NotFound
from cds_service.fhir.finding_resources import ai_device
from cds_service.web import problems
from cds_service.web.problems import FHIR_JSON
from cds_service.web.services import services

PUBLISHED = "2026-11-22"  # of this capability statement

blueprint = Blueprint("fhir_api", __name__, url_prefix="/fhir")
problems.install(blueprint)


@blueprint.get("/metadata")
def metadata() -> Response:
    """Return the capability statement: one resource type, to read."""
    here = services()
    return _fhir(
        {
            "resourceType": "CapabilityStatement",
            "status": "active",
            "date": PUBLISHED,
            "kind": "instance",
            "software": {"name": "Sightline"},
            "implementation": {
                "description": "Imaging-AI findings: the models that this installation runs",
                "url": f"{here.public_url}/fhir",
            },
            "fhirVersion": "4.0.1",
            "format": ["json"],
            "rest": [
                {
                    "mode": "server",
                    "resource": [{"type": "Device", "interaction": [{"code": "read"}]}],
                }
            ],
        }
    )


@blueprint.get("/Device/<logical_id>")
def device(logical_id: str) -> Response:
    """Return the AI model as a Device."""
    model = services().model_with(logical_id)
    if model is None:
        raise NotFound("There is no such Device.")
    return _fhir({**ai_device(model), "id": logical_id})


@blueprint.get("/<path:_anything>")
def nothing_else(_anything: str) -> Response:
    """Refuse every other read with an OperationOutcome."""
    raise NotFound("This endpoint has the Device of its AI model and nothing else.")


def _fhir(resource: dict[str, Any]) -> Response:
    response = jsonify(resource)
    response.content_type = FHIR_JSON
    return response
