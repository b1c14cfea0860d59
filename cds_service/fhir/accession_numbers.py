"""Accession numbers: which ones an EHR's orders and reports name, and whose they are.

Source: FHIR R4 ServiceRequest and DiagnosticReport; HL7 v2-0203 (identifier type ACSN).
"""

from collections.abc import Iterator

from cds_service.domain.accession import Accession
from cds_service.fhir.elements import Json, instant_in, object_in, objects_in, text_in
from cds_service.fhir.imaging_study import accession_values, logical_id, resources

_WHEN = {
    "ServiceRequest": ("occurrenceDateTime", "authoredOn"),
    "DiagnosticReport": ("effectiveDateTime", "issued"),
}
_NOTHING_WAS_DONE = frozenset({"draft", "registered", "cancelled", "entered-in-error"})


def accessions_in(document: Json) -> list[Accession]:
    """Return the accession numbers of a resource, or of those of a Bundle, in their order.

    Orders and reports without a patient, not acted upon, or withdrawn are left out.
    """
    return [one for resource in resources(document) for one in _accessions(resource)]


def _accessions(resource: Json) -> Iterator[Accession]:
    kind = resource.get("resourceType")
    patient_id = logical_id(resource.get("subject"), "Patient")
    if kind not in _WHEN or patient_id is None or resource.get("status") in _NOTHING_WAS_DONE:
        return
    based_on = objects_in(resource.get("basedOn"))
    requests = [{"reference": f"{kind}/{resource.get('id')}"}, *based_on]
    request_id = next(filter(None, (logical_id(one, "ServiceRequest") for one in requests)), None)
    at = next(filter(None, (instant_in(resource.get(name)) for name in _WHEN[kind])), None)
    named = [*objects_in(resource.get("identifier")), *(one.get("identifier") for one in based_on)]
    for number in accession_values(named):
        yield Accession(number, patient_id, at, request_id, _what(resource.get("code")))


def _what(concept: object) -> str:
    """Return a CodeableConcept in words; "" when it has none."""
    code = object_in(concept)
    words = [code.get("text"), *(one.get("display") for one in objects_in(code.get("coding")))]
    return next(filter(None, map(text_in, words)), "")
