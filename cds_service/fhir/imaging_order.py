"""Draft orders of a hook's context: the imaging orders among them.

An order counts as imaging when its category or its code says so, or when its text names a kind of
imaging; its region comes from its body site, its code or its text, in this order. What stays
without a region is left out: a comparison would be a guess.

Source: FHIR R4 ServiceRequest; US Core ServiceRequest (category 363679005); LOINC; SNOMED CT.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from cds_service.domain.imaging_terms import REGIONS, kind_in, region_in
from cds_service.domain.order import ImagingOrder
from cds_service.fhir.imaging_study import SNOMED, logical_id

Json = Mapping[str, Any]

IMAGING = (SNOMED, "363679005")  # Imaging (procedure)
MAX_ORDERS = 50  # of one context
LOINC = "http://loinc.org"
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
    orders: list[ImagingOrder] = []
    for resource in _requests(context.get("draftOrders")):
        own_id = logical_id({"reference": f"ServiceRequest/{resource.get('id')}"}, "ServiceRequest")
        if own_id is None or (selected_only and own_id not in selections):
            continue
        order = _imaging_order(resource, f"ServiceRequest/{own_id}")
        if order is not None and len(orders) < MAX_ORDERS:
            orders.append(order)
    return orders


def _requests(bundle: object) -> Iterator[Json]:
    for entry in _objects(_object(bundle).get("entry")):
        resource = _object(entry.get("resource"))
        if resource.get("resourceType") == "ServiceRequest":
            yield resource


def _imaging_order(resource: Json, reference: str) -> ImagingOrder | None:
    code = _object(resource.get("code"))
    by_code = next((_CODES[one] for one in _codings(code) if one in _CODES), None)
    text = " ".join(_texts(code))
    kind = by_code[1] if by_code else kind_in(text)
    categories = [one for each in _objects(resource.get("category")) for one in _codings(each)]
    if kind is None and IMAGING not in categories:
        return None
    sites = [one for each in _objects(resource.get("bodySite")) for one in _codings(each)]
    by_site = (REGIONS[one[1]] for one in sites if one[0] == SNOMED and one[1] in REGIONS)
    region = next(by_site, None) or (by_code[0] if by_code else region_in(text))
    return None if region is None else ImagingOrder(reference, region, kind)


def _codings(concept: Json) -> list[tuple[str, str]]:
    codings = _objects(concept.get("coding"))
    return [(str(one.get("system", "")), str(one.get("code", ""))) for one in codings]


def _texts(concept: Json) -> Iterator[str]:
    for value in (
        concept.get("text"),
        *(c.get("display") for c in _objects(concept.get("coding"))),
    ):
        if isinstance(value, str):
            yield value


def _object(value: object) -> Json:
    return value if isinstance(value, dict) else {}


def _objects(value: object) -> list[Json]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
