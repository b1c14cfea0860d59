"""What the service answers in every situation that has a card of its own."""

from typing import Any

from cds_service.domain.dialect import DialectName
from cds_service.errors import EhrTimedOut
from tests.builders import a_finding, an_analysis, not_analysed
from tests.unit.cards.builders import a_bundle, a_patient_resource, a_study_resource, know
from tests.web.conftest import FrontDoor
from tests.web.ehr_client import a_hook_body

Json = dict[str, Any]

DRAFT = {"resourceType": "ServiceRequest", "id": "d-1", "code": {"text": "Chest X-ray"}}
SECOND_DRAFT = DRAFT | {"id": "d-2"}


def speaks(door: FrontDoor, dialect: DialectName, **changes: Any) -> None:
    """Register the door's EHR anew, with this dialect."""
    door.tenants.remove("t-1")
    door.tenants.add(door.ehr.tenant(dialect=dialect, **changes))


def services(door: FrontDoor) -> list[Json]:
    """What discovery lists."""
    return list(door.client.get("/cds-services").json["services"])


def running(door: FrontDoor) -> Json:
    """The answer about a study that nobody has asked for yet."""
    return dict(door.post(a_hook_body(context=_context("p-1"))).json)


def found(door: FrontDoor, *, critical: bool = False, **context: Any) -> Json:
    """The answer about a study with a finding."""
    know(door.house, analysis=an_analysis(findings=(a_finding(critical=critical),)))
    return dict(door.post(a_hook_body(context=_context("p-1") | context)).json)


def ordering(door: FrontDoor, *drafts: Json) -> Json:
    """The answer to an order for what was done already."""
    if not door.house.results.studies_of("t-1", "p-1"):
        know(door.house)
    context = _context("p-1") | {"draftOrders": a_bundle(*(drafts or (DRAFT,)))}
    return dict(door.order_check(a_hook_body(hook="order-sign", context=context)).json)


def refused(door: FrontDoor) -> Json:
    """The answer about a study that the model must not read."""
    know(door.house, 2, analysis=not_analysed("view", "made for frontal chest X-rays"))
    return dict(door.post(_about_study(2)).json)


def silent(door: FrontDoor) -> Json:
    """The answer while the EHR does not answer us, about a patient of whom nothing is known."""
    door.house.record.failure = EhrTimedOut("late")
    answer = door.post(a_hook_body(context=_context("p-9"), prefetch=...)).json
    door.house.record.failure = None
    return dict(answer)


def discharging(door: FrontDoor) -> Json:
    """The answer at discharge with a finding that nobody has seen."""
    body = a_hook_body(hook="encounter-discharge", context=_context("p-1") | {"encounterId": "e-1"})
    return dict(door.post(body).json)


def several(door: FrontDoor) -> Json:
    """The answer about three studies: one refused, two that nobody has asked for yet."""
    know(door.house, 11, analysis=not_analysed("view", "made for frontal chest X-rays"))
    studies = a_bundle(*(a_study_resource(number) for number in (11, 12, 13)))
    prefetch = {"patient": a_patient_resource(), "studies": studies}
    return dict(door.post(a_hook_body(prefetch=prefetch)).json)


def every_answer(door: FrontDoor) -> list[Json]:
    """At least one card of each kind; once per door."""
    answers = [
        running(door),
        silent(door),
        found(door),
        ordering(door),
        ordering(door, DRAFT, SECOND_DRAFT),
        discharging(door),
        refused(door),
        several(door),
    ]
    assert all(answer["cards"] for answer in answers), answers
    return answers


def every_card(door: FrontDoor) -> list[Json]:
    """The cards of every answer."""
    return [card for answer in every_answer(door) for card in answer["cards"]]


def _context(patient_id: str) -> Json:
    return {"userId": "Practitioner/1", "patientId": patient_id}


def _about_study(number: int) -> Json:
    studies = a_bundle(a_study_resource(number))
    return a_hook_body(prefetch={"patient": a_patient_resource(), "studies": studies})
