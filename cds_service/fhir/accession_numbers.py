"""Accession numbers: which ones an EHR's orders and reports name, and whose they are.

Source: FHIR R4 ServiceRequest and DiagnosticReport; HL7 v2-0203 (identifier type ACSN).
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from cds_service.domain.accession import Accession
from cds_service.fhir.imaging_study import ACCESSION_TYPE, logical_id, resources

Json = Mapping[str, Any]

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
    based_on = _objects(resource.get("basedOn"))
    requests = [{"reference": f"{kind}/{resource.get('id')}"}, *based_on]
    request_id = next(filter(None, (logical_id(one, "ServiceRequest") for one in requests)), None)
    at = next(filter(None, (_instant(resource.get(name)) for name in _WHEN[kind])), None)
    named = [*_objects(resource.get("identifier")), *(one.get("identifier") for one in based_on)]
    for identifier in _objects(named):
        value = identifier.get("value")
        if _is_accession(identifier) and isinstance(value, str) and value.strip():
            yield Accession(value.strip(), patient_id, at, request_id, _what(resource.get("code")))


def _what(concept: object) -> str:
    """Return a CodeableConcept in words; "" when it has none."""
    code = concept if isinstance(concept, dict) else {}
    words = [code.get("text"), *(one.get("display") for one in _objects(code.get("coding")))]
    return next((one.strip() for one in words if isinstance(one, str) and one.strip()), "")


def _is_accession(identifier: Json) -> bool:
    of_type = identifier.get("type")
    codings = _objects(of_type.get("coding")) if isinstance(of_type, dict) else []
    return any(coding.get("code") == ACCESSION_TYPE for coding in codings)


def _instant(value: object) -> datetime | None:
    """Read a FHIR dateTime; a date alone is midnight UTC."""
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _objects(value: object) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
