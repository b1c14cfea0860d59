"""Before a new imaging order: the comparable study that an AI has read already."""

from datetime import timedelta
from typing import Any

import pytest

from cds_service.domain.alert import AlertPolicy
from cds_service.domain.card import Card, Feedback, Indicator, Outcome
from cds_service.domain.hook import ORDER_SERVICE, Prefetch, PrefetchState
from cds_service.domain.tenant import Tenant, Vendor
from cds_service.errors import EhrTimedOut
from cds_service.usecases.answer_hook import answer_hook
from tests.builders import (
    NOW,
    a_finding,
    a_patient,
    a_result,
    a_study,
    a_tenant,
    an_analysis,
    not_analysed,
)
from tests.unit.cards.builders import (
    House,
    MakeHouse,
    a_bundle,
    a_call,
    a_study_resource,
    know,
    present,
)

CHEST = "Chest X-ray"


def a_draft(text: str = CHEST, number: int = 1) -> dict[str, Any]:
    return {"resourceType": "ServiceRequest", "id": f"d-{number}", "code": {"text": text}}


def check(
    house: House,
    *drafts: dict[str, Any],
    hook: str = "order-sign",
    prefetch: dict[str, Prefetch] | None = None,
    tenant: Tenant | None = None,
    **context: Any,
) -> list[Card]:
    call = a_call(
        service_id=ORDER_SERVICE,
        hook=hook,
        context={"draftOrders": a_bundle(*(drafts or (a_draft(),)))} | context,
        prefetch=prefetch or {},
    )
    return answer_hook(call, tenant or a_tenant(), house.desk, budget_s=60)


def studied(house: House, number: int = 1, *, days_ago: int = 3, **changes: Any) -> None:
    know(house, number, study_started=NOW - timedelta(days=days_ago), **changes)
    house.record.resources.append(a_study_resource(number))


def test_a_comparable_study_is_named_with_what_the_ai_said(a_house: MakeHouse) -> None:
    house = a_house()
    studied(house)

    (card,) = check(house)

    assert card.summary == (
        "A comparable study of 2 Jan 2026 already has an AI read: signs of pneumonia"
    )
    assert card.indicator is Indicator.INFO and card.links and card.extension


@pytest.mark.parametrize(
    ("present", "said"),
    [(False, "AI found no signs of pneumonia"), (None, "uncertain, the AI cannot tell")],
)
def test_every_verdict_is_a_read(a_house: MakeHouse, present: bool | None, said: str) -> None:
    house = a_house()
    studied(house, analysis=an_analysis(findings=(a_finding(present=present),)))

    (card,) = check(house)

    assert card.summary.endswith(said)


@pytest.mark.parametrize(
    "changes",
    [
        {"days_ago": 31},
        {"analysis": not_analysed("view", "made for frontal chest X-rays")},
        {"patient_id": "p-2"},
        {"tenant_id": "t-2"},
    ],
    ids=["too old", "not analysed", "another patient", "another site"],
)
def test_what_is_no_comparable_read_of_this_patient_is_no_card(
    a_house: MakeHouse, changes: dict[str, Any]
) -> None:
    house = a_house()
    studied(house, **changes)

    assert check(house) == []


@pytest.mark.parametrize("text", ["CT of the chest", "X-ray of the head", "Chest physiotherapy"])
def test_another_order_is_no_repetition(a_house: MakeHouse, text: str) -> None:
    house = a_house()
    studied(house)

    assert check(house, a_draft(text)) == []


def test_order_select_looks_at_what_is_selected(a_house: MakeHouse) -> None:
    house = a_house()
    studied(house)

    assert check(house, hook="order-select", selections=["MedicationRequest/1"]) == []
    assert len(check(house, hook="order-select", selections=["ServiceRequest/d-1"])) == 1


def test_an_order_is_named_once_with_the_newest_study(a_house: MakeHouse) -> None:
    house = a_house()
    studied(house, 1, days_ago=9)
    studied(house, 2, days_ago=1)

    (card,) = check(house, a_draft(), a_draft(number=2))

    assert "4 Jan 2026" in card.summary
    removed = [one.actions[0].resource_id for one in card.suggestions]
    assert removed == ["ServiceRequest/d-1", "ServiceRequest/d-2"]


def studies(*resources: dict[str, Any], **changes: Any) -> dict[str, Prefetch]:
    return {"studies": present(a_bundle(*resources) | changes)}


OTHER = a_study_resource(9)


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_a_study_that_the_ehr_has_withdrawn_is_not_cited(a_house: MakeHouse, status: str) -> None:
    house = a_house()
    studied(house)
    withdrawn = a_study_resource(status=status)

    assert check(house, prefetch=studies(OTHER, withdrawn, total=5)) == []
    house.record.resources = [withdrawn]
    assert check(house) == []


def test_a_study_that_is_gone_from_the_whole_list_is_not_cited(a_house: MakeHouse) -> None:
    house = a_house()
    studied(house, 1, days_ago=9)
    studied(house, 2, days_ago=1)

    (card,) = check(house, prefetch=studies(a_study_resource(1)))

    assert "27 Dec 2025" in card.summary
    assert check(house, prefetch=studies(OTHER)) == []


def test_a_study_that_only_a_part_of_the_list_lacks_is_cited(a_house: MakeHouse) -> None:
    house = a_house()
    studied(house)
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": "error"}]}

    assert len(check(house, prefetch=studies(OTHER, total=5))) == 1
    house.record.own_scope = ""  # the rest cannot be had
    following = [{"relation": "next", "url": "ImagingStudy?page=2"}]
    assert len(check(house, prefetch=studies(OTHER, link=following))) == 1
    failed = Prefetch(PrefetchState.FAILED, a_bundle(OTHER, outcome))
    assert len(check(house, prefetch={"studies": failed})) == 1


def test_without_the_ehr_s_list_the_ledger_is_enough(a_house: MakeHouse) -> None:
    house = a_house()
    studied(house)

    assert len(check(house, prefetch={"studies": Prefetch(PrefetchState.NULL)})) == 1
    house.record.failure = EhrTimedOut("The EHR gave no answer in time.")
    assert len(check(house)) == 1
    house.record.failure, house.record.own_scope = None, ""
    assert len(check(house)) == 1


def test_the_list_is_read_only_when_there_is_something_to_cite(a_house: MakeHouse) -> None:
    house = a_house()
    studied(house)

    assert check(house, a_draft("CT of the chest")) == [] and house.record.reads == []
    assert len(check(house)) == 1
    assert [path.partition("?")[0] for path, _ in house.record.reads] == ["ImagingStudy"]


def test_without_a_draft_nothing_is_looked_up(a_house: MakeHouse) -> None:
    house = a_house()
    studied(house)

    assert check(house, draftOrders=None) == [] == check(house, draftOrders={"entry": "none"})
    assert house.record.reads == [] and house.dispatched == []


def test_an_order_that_was_kept_is_not_asked_about_again(a_house: MakeHouse) -> None:
    house = a_house()
    studied(house)
    (card,) = check(house)

    house.cards.record(Feedback("t-1", card.uuid, Outcome.OVERRIDDEN, NOW))

    assert check(house) == []


@pytest.mark.parametrize(("days", "cards"), [(0, 0), (3, 0), (4, 1)])
def test_a_site_chooses_how_far_back_to_look(a_house: MakeHouse, days: int, cards: int) -> None:
    house = a_house()
    studied(house, days_ago=3)
    house.alerts.set_policy("t-1", "", AlertPolicy(order_check_days=days))

    assert len(check(house)) == cards


# --- an EHR without ImagingStudy ---------------------------------------------------------------

ORACLE = a_tenant(vendor=Vendor.ORACLE)


def numbered(house: House, described: str) -> None:
    """Put a result into the ledger about a study that an order's number led to."""
    study = a_study(imaging_study_id=None, accession="A-1", description=described, series=())
    lease = house.jobs.take(house.dispatch(study, a_patient()).id, "worker")
    assert lease is not None
    stated = {"study_description": described, "imaging_study_id": None}
    result = a_result(**stated, study_started=NOW - timedelta(days=3))
    house.results.save(result, lease)
    house.jobs.finish(lease, result.id)


def test_where_there_is_no_imaging_study_none_is_asked_for(a_house: MakeHouse) -> None:
    house = a_house()
    numbered(house, "XR Chest Single view")

    (card,) = check(house, tenant=ORACLE)

    assert card.summary.startswith("A comparable study of 2 Jan 2026")
    assert house.record.reads == []


def test_a_list_that_such_an_ehr_sends_all_the_same_counts(a_house: MakeHouse) -> None:
    house = a_house()
    numbered(house, "XR Chest Single view")
    withdrawn = a_study_resource(status="entered-in-error")

    assert check(house, tenant=ORACLE, prefetch=studies(OTHER, withdrawn)) == []


@pytest.mark.parametrize("described", ["", "Radiology report", "XR Chest and abdomen", "CT Head"])
def test_a_study_whose_order_names_no_one_region_is_called_like_no_order(
    a_house: MakeHouse, described: str
) -> None:
    house = a_house()
    numbered(house, described)

    assert check(house, tenant=ORACLE) == []


def test_of_another_kind_than_its_images_a_study_is_like_no_order(a_house: MakeHouse) -> None:
    house = a_house()
    numbered(house, "CT Chest")  # the order's words, and a radiograph in the archive

    assert check(house, a_draft("CT of the chest"), tenant=ORACLE) == []
