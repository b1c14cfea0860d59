"""Imaging orders of the chart: drafted, signed, sent to radiology or removed.

Source: FHIR R4 ServiceRequest (status draft: not yet actionable); US Core ServiceRequest
(category 363679005, Imaging); LOINC.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cds_service.sandbox import fhir_writes
from cds_service.sandbox.outcomes import BusinessRule, Resource
from cds_service.sandbox.parts import Sandbox
from cds_service.sandbox.records import LOINC, RADIOLOGIST_ID, SNOMED
from cds_service.sandbox.visits import open_visit

_IMAGING = {"system": SNOMED, "code": "363679005", "display": "Imaging"}


@dataclass(frozen=True, slots=True)
class Procedure:
    """One line of the order catalogue; `code` is LOINC."""

    code: str
    display: str
    name: str


CATALOGUE = (
    Procedure("36643-5", "XR Chest 2 Views", "Chest X-ray, two views"),
    Procedure("36554-4", "XR Chest Single view", "Chest X-ray, one view"),
    Procedure("24627-2", "CT Chest", "CT chest"),
    Procedure("24725-4", "CT Head", "CT head"),
    Procedure("24590-2", "MR Brain", "MRI brain"),
    Procedure("24558-9", "US Abdomen", "Ultrasound abdomen"),
)


def procedure(code: str) -> Procedure | None:
    """Return the catalogue's line with that code, or None."""
    return next((line for line in CATALOGUE if line.code == code), None)


def draft(parts: Sandbox, patient_id: str, what: Procedure) -> Resource:
    """Keep a draft order of this procedure."""
    order: Resource = {
        "resourceType": "ServiceRequest",
        "status": "draft",
        "intent": "order",
        "category": [{"coding": [_IMAGING]}],
        "code": {
            "coding": [{"system": LOINC, "code": what.code, "display": what.display}],
            "text": what.name,
        },
        "subject": {"reference": f"Patient/{patient_id}"},
        "authoredOn": _now(parts),
        "requester": {"reference": parts.config.clinician},
    }
    if visit := open_visit(parts, patient_id):
        order["encounter"] = {"reference": f"Encounter/{visit['id']}"}
    return fhir_writes.create(parts.fhir, order, fhir_writes.unguarded).resource


def drafts(parts: Sandbox, patient_id: str) -> list[Resource]:
    """Return the patient's unsigned orders, oldest first."""
    unsigned = {"patient": patient_id, "status": "draft", "_sort": "authored"}
    return parts.fhir.search("ServiceRequest", unsigned)


def sign(parts: Sandbox, order: Resource) -> Resource:
    """Make a draft, or a draft proposal, an active order of the signed-in clinician."""
    _require(order, "draft")
    requester = {"reference": parts.config.clinician}
    signed = {"status": "active", "intent": "order", "authoredOn": _now(parts)}
    return _update(parts, {**order, **signed, "requester": requester})


def send_to_radiology(parts: Sandbox, order: Resource) -> Resource:
    """Name the radiologist who performs a signed order."""
    _require(order, "active")
    performer = [{"reference": f"Practitioner/{RADIOLOGIST_ID}"}]
    return _update(parts, {**order, "performer": performer})


def remove(parts: Sandbox, order: Resource) -> None:
    """Delete a draft; raise BusinessRule for an order that was signed: that one is history."""
    _require(order, "draft")
    parts.fhir.remove("ServiceRequest", order["id"])


def as_bundle(parts: Sandbox, resources: Sequence[Resource]) -> Resource:
    """Return resources as a hook's context carries them."""
    base = parts.config.fhir_base
    entries = [
        {"fullUrl": f"{base}/{one['resourceType']}/{one['id']}", "resource": one}
        for one in resources
    ]
    return {"resourceType": "Bundle", "type": "collection", "entry": entries}


def _require(order: Resource, status: str) -> None:
    if order.get("status") != status:
        raise BusinessRule(f"this order is not {status}")


def _update(parts: Sandbox, order: Resource) -> Resource:
    return fhir_writes.update(parts.fhir, order, fhir_writes.unguarded).resource


def _now(parts: Sandbox) -> str:
    return parts.config.now().isoformat(timespec="seconds")
