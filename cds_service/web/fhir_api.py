"""Our own FHIR endpoint: the installed models and their cards. No patient data.

Source: FHIR R4 CapabilityStatement, Device; HL7 AI Transparency on FHIR 1.0.0-ballot.
"""

from typing import Any

from flask import Blueprint, Response, jsonify

from cds_service.domain.model_sheet import ModelSheet
from cds_service.errors import NotFound
from cds_service.fhir.model_card import (
    model_bundle,
    model_device,
    model_document,
    model_provenance,
)
from cds_service.web import problems
from cds_service.web.problems import FHIR_JSON
from cds_service.web.services import services

PUBLISHED = "2026-11-23"  # of this capability statement

OFFERED = ("Bundle", "Device", "DocumentReference", "Provenance")

blueprint = Blueprint("fhir_api", __name__, url_prefix="/fhir")
problems.install(blueprint)


@blueprint.get("/metadata")
def metadata() -> Response:
    """Return the capability statement: what there is about models, to read."""
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
                    "resource": [
                        {"type": kind, "interaction": [{"code": "read"}]} for kind in OFFERED
                    ],
                }
            ],
        }
    )


@blueprint.get("/Device/<logical_id>")
def device(logical_id: str) -> Response:
    """Return the AI model as a Device."""
    sheet = _sheet(logical_id)
    return _fhir(model_device(sheet, page_url=_page(sheet)))


@blueprint.get("/DocumentReference/<logical_id>")
def document(logical_id: str) -> Response:
    """Return the model's card."""
    sheet = _sheet(logical_id)
    return _fhir(model_document(sheet, page_url=_page(sheet)))


@blueprint.get("/Provenance/<logical_id>")
def provenance(logical_id: str) -> Response:
    """Return where the model's card comes from."""
    found = model_provenance(_sheet(logical_id))
    if found is None:
        raise NotFound("There is no such Provenance.")
    return _fhir(found)


@blueprint.get("/Bundle/<logical_id>")
def bundle(logical_id: str) -> Response:
    """Return all of these as one collection."""
    sheet = _sheet(logical_id)
    base = f"{services().public_url}/fhir"
    return _fhir(model_bundle(sheet, page_url=_page(sheet), fhir_base=base))


@blueprint.get("/<path:_anything>")
def nothing_else(_anything: str) -> Response:
    """Refuse every other read with an OperationOutcome."""
    raise NotFound("This endpoint has its AI models and their cards, and nothing else.")


def _sheet(logical_id: str) -> ModelSheet:
    sheet = services().model_sheet(logical_id)
    if sheet is None:
        raise NotFound("There is no such model.")
    return sheet


def _page(sheet: ModelSheet) -> str:
    return f"{services().public_url}/app/models/{sheet.identity.id}"


def _fhir(resource: dict[str, Any]) -> Response:
    response = jsonify(resource)
    response.content_type = FHIR_JSON
    return response
