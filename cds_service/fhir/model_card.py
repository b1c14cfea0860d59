"""A model as FHIR R4: the Device, its model card as a DocumentReference, and where that comes from.

The Provenance here is that of the card. What the model says about a patient has one of its own,
with each result.

Source: HL7 AI Transparency on FHIR 1.0.0-ballot (AI-Device, AI-ModelCard; code system AIinputsCS of
its build of 2026-04); FHIR R4 Device, DocumentReference, Provenance.
"""

import re
from base64 import b64encode

from fhir.resources.R4B.bundle import Bundle

from cds_service.domain.finding import ModelIdentity
from cds_service.domain.model_sheet import ModelSheet
from cds_service.fhir.chai_card import chai_card
from cds_service.fhir.finding_resources import (
    AI_TRANSPARENCY,
    URI,
    Json,
    ai_device,
    model_card_extension,
    model_card_uuid,
)

INPUTS = f"{AI_TRANSPARENCY}/CodeSystem/AIinputsCS"


def logical_id(model: ModelIdentity) -> str:
    """Return the id that all of the model's resources have here."""
    return re.sub(r"[^A-Za-z0-9\-.]", "-", model.id)[:64]


def model_device(sheet: ModelSheet, *, page_url: str) -> Json:
    """Return the AI-Device, which points at its model card on the same server."""
    here = logical_id(sheet.identity)
    return {
        **ai_device(sheet.identity),
        "id": here,
        "meta": _profile("AI-Device"),
        "extension": [
            *_kind(sheet),
            model_card_extension({"reference": f"DocumentReference/{here}"}),
        ],
        "manufacturer": sheet.developer,
        "url": page_url,
    }


def _kind(sheet: ModelSheet) -> list[Json]:
    """Return what kind of AI it is, where its package says so."""
    kind = sheet.facts.get("ai_kind")
    if not kind:
        return []
    system = f"{AI_TRANSPARENCY}/CodeSystem/AIdeviceTypeCS"
    return [
        {
            "url": f"{AI_TRANSPARENCY}/StructureDefinition/aitransparency.AIKind",
            "valueCodeableConcept": {"coding": [{"system": system, "code": kind}]},
        }
    ]


def model_document(sheet: ModelSheet, *, page_url: str) -> Json:
    """Return the AI-ModelCard: CHAI's format attached, and our page."""
    chai = b64encode(chai_card(sheet, page_url=page_url)).decode("ascii")
    name = sheet.identity.title or sheet.identity.id
    return {
        "resourceType": "DocumentReference",
        "id": logical_id(sheet.identity),
        "meta": _profile("AI-ModelCard"),
        "identifier": [{"system": URI, "value": f"urn:uuid:{model_card_uuid(sheet.identity)}"}],
        "status": "current",
        "type": {"coding": [{"system": INPUTS, "code": "AIModelCard", "display": "AI Model-Card"}]},
        "category": [
            {
                "coding": [
                    {"system": INPUTS, "code": "AImodelCardCHAIformat", "display": "CHAI Format"}
                ]
            }
        ],
        "author": [{"display": sheet.developer}],
        "description": f"{name}, version {sheet.identity.version}. {sheet.identity.label}",
        "content": [
            {
                "attachment": {
                    "contentType": "application/xml",
                    "data": chai,
                    "url": f"{page_url}/chai.xml",
                    "title": "CHAI Applied Model Card, schema version 0.2",
                }
            },
            {
                "attachment": {
                    "contentType": "text/html",
                    "url": page_url,
                    "title": "Model card",
                }
            },
        ],
    }


def model_provenance(sheet: ModelSheet) -> Json | None:
    """Return who wrote the card and from which data; None where the release date is not stated."""
    released = sheet.facts.get("released")
    if not released:
        return None
    here = logical_id(sheet.identity)
    participant = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"
    provenance: Json = {
        "resourceType": "Provenance",
        "id": here,
        "target": [
            {"reference": f"DocumentReference/{here}"},
            {"reference": f"Device/{here}"},
        ],
        "recorded": f"{released}T00:00:00Z",
        "agent": [
            {
                "type": {"coding": [{"system": participant, "code": "author"}]},
                "who": {"display": sheet.developer},
            }
        ],
    }
    if sheet.citations:
        provenance["entity"] = [
            {"role": "source", "what": {"display": citation}} for citation in sheet.citations
        ]
    return provenance


def model_bundle(sheet: ModelSheet, *, page_url: str, fhir_base: str) -> Json:
    """Return all of them as a collection."""
    found = (
        model_device(sheet, page_url=page_url),
        model_document(sheet, page_url=page_url),
        model_provenance(sheet),
    )
    bundle: Json = {
        "resourceType": "Bundle",
        "id": logical_id(sheet.identity),
        "type": "collection",
        "entry": [
            {"fullUrl": f"{fhir_base}/{one['resourceType']}/{one['id']}", "resource": one}
            for one in found
            if one is not None
        ],
    }
    Bundle.model_validate(bundle)
    return bundle


def _profile(name: str) -> Json:
    return {"profile": [f"{AI_TRANSPARENCY}/StructureDefinition/{name}"]}
