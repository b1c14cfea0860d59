"""The worklist of an EHR without ImagingStudy: the order or report of its number shows a study."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cds_service.domain.tenant import Tenant, Vendor
from cds_service.errors import EhrAnswerInvalid, EhrRefused
from cds_service.sandbox.parts import Sandbox
from cds_service.usecases.ports import EhrRecord, Resource
from smart_app import readable
from tests.builders import a_patient, a_study
from tests.unit.cards.test_studies_by_accession import an_order
from tests.web_app.house import House, a_fhir_patient
from tests.web_app.test_worklist import Opened, Refusing, a_row, family, person, to_callback, uid

PEOPLE = range(70, 74)
Open = Callable[[], Opened]
Know = Callable[..., None]


def number_of(one: int) -> str:
    return f"A-{one}"


@pytest.fixture(autouse=True)
def an_oracle(house: House, tenant: Tenant) -> Tenant:
    house.tenants.remove(tenant.id)
    oracle = replace(tenant, vendor=Vendor.ORACLE)
    house.tenants.add(oracle)
    return oracle


@pytest.fixture(autouse=True, scope="module")
def people(sandbox: Sandbox) -> None:
    """Four people with an order each in the record, and no ImagingStudy."""
    for one in PEOPLE:
        sandbox.fhir.update(a_fhir_patient(person(one), family(one)))
        sandbox.fhir.update(order_of(one))


def order_of(one: int, **changes: Any) -> dict[str, Any]:
    about = {"subject": {"reference": f"Patient/{person(one)}"}, "intent": "order"}
    return an_order(number_of(one), **(about | changes))


@pytest.fixture
def know(house: House) -> Know:
    """Put a study with a job, and a result about it, into the ledger."""

    def known(one: int, *, with_result: bool = True, **stated: Any) -> None:
        values: dict[str, Any] = {
            "study_uid": uid(one),
            "patient_id": person(one),
            "imaging_study_id": None,
            "accession": number_of(one),
            "service_request_id": f"o-{number_of(one)}",
        }
        house.dispatch(a_study(**(values | stated)), a_patient(patient_id=person(one)))
        if with_result:
            house.keep(a_row(one, imaging_study_id=None))

    return known


@pytest.fixture
def sign_in(house: House, tenant: Tenant, sandbox: Sandbox) -> Open:
    def opened() -> Opened:
        browser = house.browser()
        user = "Practitioner/clinician"
        answer = browser.get(to_callback(browser, tenant, sandbox, user))
        assert answer.status_code == 303, answer.text
        return Opened(house, browser, answer.location)

    return opened


class Without:
    """The real record, of a server that fails for one type of resource."""

    def __init__(self, kind: str, record: EhrRecord, error: Exception) -> None:
        self._kind, self._record, self._error = kind, record, error
        self.asked: list[str] = []

    def read(self, tenant: Tenant, path: str, **how: Any) -> Resource:
        self.asked.append(path)
        if path.startswith(self._kind):
            raise self._error
        return self._record.read(tenant, path, **how)


def test_a_study_is_shown_whose_order_and_patient_the_user_can_read(
    house: House, know: Know, sign_in: Open
) -> None:
    know(70)
    know(71, with_result=False)
    record = Without("ImagingStudy", house.ehr, EhrAnswerInvalid("The EHR answered 404."))
    house.swap(ehr=record)

    opened = sign_in()
    assert opened.names() == [family(70), family(71)]
    assert "Only studies whose patient and order, or report, the EHR lets you read" in opened.page()
    asked = [path.partition("?")[0] for path in record.asked]
    assert asked == ["Practitioner/clinician", "ServiceRequest", "Patient"]


@pytest.mark.parametrize("hidden", ["Patient/w-70", "ServiceRequest/o-A-70"])
@pytest.mark.parametrize("leaves_out", [True, False], ids=["left-out", "search-refused"])
def test_a_row_whose_patient_or_order_the_token_cannot_read_is_not_there(
    house: House, know: Know, sign_in: Open, hidden: str, leaves_out: bool
) -> None:
    know(70)
    know(71)
    house.swap(ehr=Refusing(house.ehr, hidden, leaves_out=leaves_out))
    opened = sign_in()

    assert opened.names() == [family(71)]
    chart = opened.address.replace("/worklist", "~rwr-70/")
    assert opened.browser.get(chart).status_code == 404
    assert opened.browser.get(chart.replace("rwr-70", "rwr-71")).status_code == 200


@pytest.mark.parametrize(
    "stated",
    [
        {"accession": "A-other"},
        {"service_request_id": "o-A-72"},
        {"accession": None},
        {"imaging_study_id": "ws-70"},
    ],
    ids=["another number", "another patient's order", "no number", "an ImagingStudy"],
)
def test_an_order_that_does_not_lead_to_the_study_shows_nothing(
    know: Know, sign_in: Open, stated: dict[str, Any]
) -> None:
    know(70, **stated)

    assert sign_in().names() == []


def test_an_order_that_was_withdrawn_leads_nowhere(
    sandbox: Sandbox, know: Know, sign_in: Open
) -> None:
    sandbox.fhir.update(order_of(73, status="entered-in-error"))
    know(73)

    assert sign_in().names() == []


def test_a_report_of_that_number_will_do(sandbox: Sandbox, know: Know, sign_in: Open) -> None:
    a_report(sandbox, 72, "A-report")
    know(72, accession="A-report", service_request_id=None)
    opened = sign_in()

    assert opened.names() == [family(72)]
    page = opened.browser.get(opened.chart(family(72)))
    assert page.status_code == 200 and family(72) in page.text


@pytest.mark.parametrize("error", [EhrRefused("403"), EhrAnswerInvalid("404")])
def test_a_report_that_cannot_be_read_shows_nothing_and_hides_nobody_else(
    house: House, sandbox: Sandbox, know: Know, sign_in: Open, error: Exception
) -> None:
    a_report(sandbox, 72, "A-report")
    know(72, accession="A-report", service_request_id=None)
    know(70)
    house.swap(ehr=Without("DiagnosticReport", house.ehr, error))

    assert sign_in().names() == [family(70)]


def a_report(sandbox: Sandbox, one: int, number: str) -> None:
    order = order_of(one)
    named = {**order["identifier"][0], "value": number}
    sandbox.fhir.update(
        {
            "resourceType": "DiagnosticReport",
            "id": f"d-{one}",
            "status": "final",
            "code": {"text": "Chest X-ray"},
            "subject": order["subject"],
            "identifier": [named],
        }
    )


def test_reports_are_read_of_so_many_patients_and_the_page_says_that_it_stopped(
    house: House, know: Know, sign_in: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readable, "REPORT_READS", 2)
    for one in (70, 71, 72):
        know(one, service_request_id=None)
    record = Without("nothing", house.ehr, EhrRefused("403"))
    house.swap(ehr=record)
    opened = sign_in()

    page = opened.page()

    assert len([path for path in record.asked if path.startswith("DiagnosticReport")]) == 2
    assert "Not all studies could be looked at" in page
    opened.page()
    assert len([path for path in record.asked if path.startswith("DiagnosticReport")]) == 3


def test_an_ehr_with_imaging_study_lets_nobody_in_by_an_order(
    house: House, tenant: Tenant, know: Know, sign_in: Open
) -> None:
    house.tenants.remove(tenant.id)
    house.tenants.add(tenant)
    know(70)

    assert sign_in().names() == []


def test_without_the_scopes_the_page_says_which(
    know: Know, sign_in: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smart_app.scopes.ORDERS", (("Observation", "rs"),))
    know(70)
    opened = sign_in()
    monkeypatch.undo()

    page = opened.page()

    assert "user/Patient.rs, user/ServiceRequest.rs" in page and family(70) not in page


def test_with_the_report_s_scope_alone_orders_are_not_asked_for(
    house: House, know: Know, sign_in: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smart_app.scopes.ORDERS", (("DiagnosticReport", "rs"),))
    know(70)
    record = Without("nothing", house.ehr, EhrRefused("403"))
    house.swap(ehr=record)
    opened = sign_in()

    assert opened.names() == []
    assert not [path for path in record.asked if path.startswith("ServiceRequest")]
    assert not re.search("ImagingStudy", " ".join(record.asked))
