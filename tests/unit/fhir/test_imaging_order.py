"""Draft orders: which of them are imaging, of which region, and which are left alone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.domain.order import ImagingOrder
from cds_service.fhir.imaging_order import LOINC, MAX_DRAFTS, imaging_orders
from cds_service.fhir.imaging_study import SNOMED

IMAGING = [{"coding": [{"system": SNOMED, "code": "363679005"}]}]


def a_request(code: Any = None, **changes: Any) -> dict[str, Any]:
    own = {"resourceType": "ServiceRequest", "id": "1", "code": code or {}}
    return own | changes


def orders(*resources: Any, selections: Any = None, selected_only: bool = False) -> list[Any]:
    entries = [{"resource": one} for one in resources]
    context = {
        "patientId": "p-1",
        "draftOrders": {"resourceType": "Bundle", "entry": entries},
        "selections": selections,
    }
    return imaging_orders(context, selected_only=selected_only)


def coded(system: str, code: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code}]}


@pytest.mark.parametrize(
    ("resource", "region", "kind"),
    [
        (a_request(coded(LOINC, "36643-5")), "chest", "X-ray"),
        (a_request(coded(LOINC, "24627-2")), "chest", "CT"),
        (a_request(coded(SNOMED, "399208008")), "chest", "X-ray"),
        (a_request({"text": "Chest X-ray"}), "chest", "X-ray"),
        (a_request({"text": "CXR"}), "chest", "X-ray"),
        (a_request({"text": "X ray chest"}), "chest", "X-ray"),
        (a_request({"text": "PET/CT chest"}), "chest", "PET"),
        (a_request({"text": "PET CT of the chest"}), "chest", "PET"),
        (a_request({"text": "X-ray"}, bodySite=[{"text": "Chest"}]), "chest", "X-ray"),
        (a_request({"coding": [{"display": "CT of the brain"}]}), "head", "CT"),
        (a_request({"text": "chest"}, category=IMAGING), "chest", None),
        (
            a_request({"text": "MRI"}, bodySite=[coded(SNOMED, "818981001")]),
            "abdomen",
            "MRI",
        ),
        (
            a_request(category=IMAGING, bodySite=[coded(SNOMED, "51185008")]),
            "chest",
            None,
        ),
    ],
)
def test_an_imaging_order_is_known_by_code_category_site_or_text(
    resource: Any, region: str, kind: str | None
) -> None:
    assert orders(resource) == [ImagingOrder("ServiceRequest/1", region, kind)]


@pytest.mark.parametrize(
    "resource",
    [
        a_request({"text": "Chest physiotherapy"}),
        a_request({"text": "chest pain, seen by Mr Smith"}),
        a_request({"text": "X-ray"}),
        a_request({"text": "X-ray of chest and abdomen"}),
        a_request({"text": "X-ray of the wrist"}),
        a_request(category=IMAGING),
        a_request({"text": "Chest X-ray"}, id="no id!"),
        a_request({"text": "Chest X-ray"}, id=None),
        a_request({"text": "Chest X-ray"}, doNotPerform=True),
        a_request({"text": "Chest X-ray"}, status="revoked"),
        a_request({"text": "Chest X-ray"}, subject={"reference": "Patient/somebody-else"}),
        a_request({"text": "Chest X-ray"}, resourceType="MedicationRequest"),
        {"resourceType": "ServiceRequest"},
        "ServiceRequest",
        None,
    ],
)
def test_what_is_no_imaging_order_of_a_known_region_is_left_alone(resource: Any) -> None:
    assert orders(resource) == []


@pytest.mark.parametrize(
    ("selections", "found"),
    [
        (["ServiceRequest/2"], ["ServiceRequest/2"]),
        (["https://ehr.example.org/fhir/ServiceRequest/2"], ["ServiceRequest/2"]),
        (["MedicationRequest/1", 5, None], []),
        ([], []),
        (None, []),
        ("ServiceRequest/2", []),
    ],
)
def test_order_select_looks_at_the_selections_only(selections: Any, found: list[str]) -> None:
    drafts = [a_request({"text": "Chest X-ray"}, id=number) for number in ("1", "2")]

    chosen = orders(*drafts, selections=selections, selected_only=True)

    assert [one.reference for one in chosen] == found


def test_two_drafts_of_one_id_are_one_order() -> None:
    twice = [a_request({"text": "Chest X-ray"}), a_request({"text": "CT of the head"})]

    assert orders(*twice) == [ImagingOrder("ServiceRequest/1", "chest", "X-ray")]


def test_the_order_of_this_patient_is_one() -> None:
    request = a_request({"text": "Chest X-ray"}, subject={"reference": "Patient/p-1"})

    assert len(orders(request)) == 1


def test_only_the_beginning_of_a_long_order_is_read() -> None:
    assert orders(a_request({"text": " " * 500_000 + "Chest X-ray"})) == []


def test_of_very_many_drafts_the_first_are_looked_at() -> None:
    others = [a_request({"text": "Blood count"}, id=f"b{n}") for n in range(MAX_DRAFTS)]

    assert len(orders(*others[1:], a_request({"text": "Chest X-ray"}))) == 1
    assert orders(*others, a_request({"text": "Chest X-ray"})) == []


KEYS = st.sampled_from(
    ["resourceType", "id", "code", "coding", "system", "category", "bodySite", "text", "entry"]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(JSON, JSON, st.booleans())
def test_any_context_is_read_without_an_error(bundle: Any, code: Any, selected: bool) -> None:
    context = {"draftOrders": bundle, "selections": code}

    assert imaging_orders(context, selected_only=selected) == []
    request = a_request(code, category=code, bodySite=code)
    imaging_orders({"draftOrders": {"entry": [{"resource": request}]}}, selected_only=False)


@pytest.mark.parametrize(
    ("region", "kind", "comparable"),
    [
        ("chest", "X-ray", True),
        ("chest", None, True),
        ("chest", "CT", False),
        ("head", "X-ray", False),
        (None, "X-ray", False),
    ],
)
def test_a_ct_after_an_x_ray_is_a_next_step_and_no_repetition(
    region: str | None, kind: str | None, comparable: bool
) -> None:
    order = ImagingOrder("ServiceRequest/1", "chest", "X-ray")

    assert order.is_comparable_with(region, kind) is comparable
