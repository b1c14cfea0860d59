"""Draft orders of a hook's context: the imaging orders among them.

An order counts as imaging when its category or its code says so, or when its text names a kind of
imaging; its region comes from its body site, its code or its text, in this order. Left out is what
stays without a region, because a comparison would be a guess; what cannot be named, being without
an id; and what is over, not to be done, or for somebody else.

Source: FHIR R4 ServiceRequest; US Core ServiceRequest (category 363679005); LOINC; SNOMED CT.
"""

from collections.abc import Iterator
from itertools import islice

from cds_service.domain.imaging_terms import REGIONS, kind_in, region_in
from cds_service.domain.order import ImagingOrder
from cds_service.fhir.elements import Json, object_in, objects_in
from cds_service.fhir.imaging_study import SNOMED, logical_id

IMAGING = (SNOMED, "363679005")  # Imaging (procedure)
MAX_ORDERS = 50  # of one context
MAX_DRAFTS = 200  # that are looked at, of whatever kind
TEXT_LIMIT = 500  # characters of one order that are read
LOINC = "http://loinc.org"
_OVER = ("revoked", "completed", "entered-in-error")
_CODES = {  # region, kind
    (LOINC, "36643-5"): ("chest", "X-ray"),  # XR Chest 2 Views
    (LOINC, "36554-4"): ("chest", "X-ray"),  # XR Chest Single view
    (LOINC, "30745-4"): ("chest", "X-ray"),  # XR Chest Views
    (LOINC, "36572-6"): ("chest", "X-ray"),  # XR Chest AP
    (LOINC, "24627-2"): ("chest", "CT"),  # CT Chest
    (LOINC, "24725-4"): ("head", "CT"),  # CT Head
    (LOINC, "30799-1"): ("head", "CT"),  # CT Head WO contrast
    (LOINC, "24590-2"): ("head", "MRI"),  # MR Brain
    (LOINC, "24558-9"): ("abdomen", "ultrasound"),  # US Abdomen
    (SNOMED, "399208008"): ("chest", "X-ray"),  # Plain X-ray of chest
    (SNOMED, "169069000"): ("chest", "CT"),  # CT of chest
}


def imaging_orders(context: Json, *, selected_only: bool) -> list[ImagingOrder]:
    """Return the draft imaging orders whose region is known, in the order of the Bundle.

    selected_only  look at those in `selections` only, as order-select asks; without a list of
                   selections that is none
    """
    listed = context.get("selections")
    selections = {
        logical_id({"reference": one}, "ServiceRequest")
        for one in (listed if isinstance(listed, list) else [])
        if isinstance(one, str)
    }
    orders: dict[str, ImagingOrder] = {}  # by reference: of two with the same id the first
    for resource in islice(_requests(context.get("draftOrders")), MAX_DRAFTS):
        own_id = _own_id(resource)
        if own_id is None or (selected_only and own_id not in selections):
            continue
        order = _imaging_order(resource, f"ServiceRequest/{own_id}")
        if order is not None and _is_to_be_done(resource, context.get("patientId")):
            orders.setdefault(order.reference, order)
    return list(orders.values())[:MAX_ORDERS]


def _requests(bundle: object) -> Iterator[Json]:
    for entry in objects_in(object_in(bundle).get("entry")):
        resource = object_in(entry.get("resource"))
        if resource.get("resourceType") == "ServiceRequest":
            yield resource


def _own_id(resource: Json) -> str | None:
    own_id = resource.get("id")
    return (
        logical_id({"reference": f"ServiceRequest/{own_id}"}, "ServiceRequest") if own_id else None
    )


def _is_to_be_done(resource: Json, patient_id: object) -> bool:
    """Tell whether this asks for something that is yet to be done to this patient."""
    is_over = resource.get("status") in _OVER
    subject = logical_id(resource.get("subject"), "Patient")
    return (
        not is_over and resource.get("doNotPerform") is not True and subject in (None, patient_id)
    )


def _imaging_order(resource: Json, reference: str) -> ImagingOrder | None:
    code = object_in(resource.get("code"))
    by_code = next((_CODES[one] for one in _codings(code) if one in _CODES), None)
    text = _text(code)
    kind = by_code[1] if by_code else kind_in(text)
    categories = [one for each in objects_in(resource.get("category")) for one in _codings(each)]
    if kind is None and IMAGING not in categories:
        return None
    region = _site(resource) or (by_code[0] if by_code else region_in(text))
    return None if region is None else ImagingOrder(reference, region, kind)


def _site(resource: Json) -> str | None:
    sites = objects_in(resource.get("bodySite"))
    codes = [code for each in sites for system, code in _codings(each) if system == SNOMED]
    by_code = (REGIONS[code] for code in codes if code in REGIONS)
    return next(by_code, None) or region_in(" ".join(map(_text, sites))[:TEXT_LIMIT])


def _codings(concept: Json) -> list[tuple[str, str]]:
    codings = objects_in(concept.get("coding"))
    return [(str(one.get("system", "")), str(one.get("code", ""))) for one in codings]


def _text(concept: Json) -> str:
    """Return what a concept says in words, as far as it is read."""
    said = (concept.get("text"), *(one.get("display") for one in objects_in(concept.get("coding"))))
    return " ".join(one for one in said if isinstance(one, str))[:TEXT_LIMIT]
