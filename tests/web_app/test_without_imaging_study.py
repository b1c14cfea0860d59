"""At an EHR without ImagingStudy the app finds a patient's studies by their orders' numbers."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from cds_service.domain.accession import IndexedStudy
from cds_service.domain.binding import Strictness
from cds_service.domain.tenant import Tenant, Vendor
from cds_service.errors import ArchiveFailed, EhrAnswerInvalid
from cds_service.sandbox.parts import Sandbox
from cds_service.usecases.ports import EhrRecord, Resource
from tests.builders import a_result
from tests.unit.cards.test_studies_by_accession import an_order
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import Browser, House, a_fhir_patient, query_of

PATIENT, UID = "p-77", "1.2.840.99999.77"
WHO: dict[str, Any] = {
    "patient_id": "MRN-77",
    "patient_birth_date": date(2022, 6, 1),
    "patient_sex": "F",
    "accession": "A-77",
}
Open = Callable[[], str]


def under_the_number(**changes: Any) -> IndexedStudy:
    """What the archive has under the order's number, with what it says of the patient."""
    about: dict[str, Any] = {**WHO, "modalities": ("DX",)}
    return IndexedStudy(UID, "http://127.0.0.1:9/dicom-web", **(about | changes))


@pytest.fixture(autouse=True)
def an_oracle(sandbox: Sandbox, house: House, tenant: Tenant) -> Tenant:
    """Register the EHR as one without ImagingStudy, with a patient and an order."""
    person = {**a_fhir_patient(PATIENT), "identifier": [{"value": "MRN-77"}]}
    sandbox.fhir.update(person)
    about: dict[str, Any] = {"subject": {"reference": f"Patient/{PATIENT}"}, "intent": "order"}
    sandbox.fhir.update(an_order("A-77", **about, code={"text": "Chest frontal"}))
    return registered(house, replace(tenant, vendor=Vendor.ORACLE))


def registered(house: House, tenant: Tenant) -> Tenant:
    house.tenants.remove(tenant.id)
    house.tenants.add(tenant)
    return tenant


@pytest.fixture
def opened(browser: Browser, tenant: Tenant, launch_of: LaunchOf) -> Open:
    """Launch from the patient's chart; return the page."""
    return lambda: browser.get(browser.open(tenant.fhir_base, launch_of(PATIENT))).text


def analysing(house: House) -> list[str]:
    return [job.study.study_uid for job in house.jobs.analysing("t-1", PATIENT)]


def test_a_launch_from_the_chart_finds_the_study_and_asks_for_its_analysis(
    house: House, opened: Open
) -> None:
    house.index.studies["A-77"] = [under_the_number()]

    page = opened()

    [job] = house.jobs.analysing("t-1", PATIENT)
    assert (job.study.study_uid, job.study.accessions) == (UID, ("A-77",))
    assert job.study.service_request_id == "o-A-77" and "Chest frontal" in page


def test_orders_are_asked_for_at_sign_in_and_imaging_study_is_not(
    browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    scope = query_of(browser.to_authorize(tenant.fhir_base, launch_of(PATIENT)))["scope"]

    assert "patient/ServiceRequest.rs" in scope and "ImagingStudy" not in scope


def test_what_a_card_of_such_a_study_links_to_is_shown(
    house: House, browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    house.keep(a_result(patient_id=PATIENT, study_uid=UID, imaging_study_id=None))
    launch = launch_of(PATIENT, study=UID, result="r-1")

    page = browser.get(browser.open(tenant.fhir_base, launch))

    assert page.status_code == 200 and "0.93" in page.text and house.index.asked == []


OF_SOMEBODY_ELSE: dict[str, dict[str, Any]] = {
    "another identifier": {"patient_id": "MRN-8"},
    "no identifier": {"patient_id": None},
    "another birth date": {"patient_birth_date": date(1950, 1, 1)},
    "another sex": {"patient_sex": "M"},
}


@pytest.mark.parametrize("case", OF_SOMEBODY_ELSE)
def test_a_study_that_the_archive_has_of_somebody_else_leaves_no_trace(
    house: House, opened: Open, case: str
) -> None:
    house.index.studies["A-77"] = [under_the_number(**OF_SOMEBODY_ELSE[case])]

    page = opened()

    assert house.index.asked == ["A-77"]
    assert analysing(house) == [] and "Chest frontal" not in page


def test_the_site_s_own_strictness_holds_for_the_index_too(
    house: House, an_oracle: Tenant, opened: Open
) -> None:
    registered(house, replace(an_oracle, binding=Strictness.OTHER_IDENTIFIERS))
    house.index.studies["A-77"] = [under_the_number(patient_id="SITE-5")]

    opened()

    assert analysing(house) == [UID]


def test_another_patient_s_order_is_not_followed(
    house: House, browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    house.index.studies["A-77"] = [under_the_number()]

    browser.get(browser.open(tenant.fhir_base, launch_of("p-1")))

    assert house.index.asked == []


def test_an_archive_that_is_away_is_said_to_be(house: House, opened: Open) -> None:
    house.index.fails_with = ArchiveFailed("The archive did not answer with JSON.")

    page = opened()

    assert house.index.asked == ["A-77"] and "Chest frontal" not in page
    assert "could not" in page


ARCHIVES: dict[str, dict[str, Any]] = {
    "DICOMweb": {"archive_base": "http://127.0.0.1:9/dicom-web"},
    "DIMSE": {"archive_base": "dicom://OURS@THEIRS@127.0.0.1:9"},
    "a further one alone": {
        "archive_base": None,
        "other_archives": ("dicom://OURS@THEIRS@127.0.0.1:9",),
    },
}


@pytest.mark.parametrize("archives", ARCHIVES)
def test_an_ehr_that_turns_out_to_have_no_imaging_study_is_asked_for_reports(
    sandbox: Sandbox,
    house: House,
    browser: Browser,
    tenant: Tenant,
    launch_of: LaunchOf,
    archives: str,
) -> None:
    sandbox.fhir.update({**a_fhir_patient("p-78"), "identifier": [{"value": "MRN-77"}]})
    sandbox.fhir.update(a_report("A-78", "p-78"))
    registered(house, replace(tenant, **ARCHIVES[archives]))  # as any other EHR
    house.swap(ehr=Without("ImagingStudy", house.ehr))
    house.index.studies["A-78"] = [under_the_number(accession="A-78")]

    browser.get(browser.open(tenant.fhir_base, launch_of("p-78")))

    assert [job.study.study_uid for job in house.jobs.analysing("t-1", "p-78")] == [UID]


def a_report(number: str, patient: str) -> dict[str, Any]:
    order = an_order(number, subject={"reference": f"Patient/{patient}"})
    kept = {name: order[name] for name in ("identifier", "subject")}
    return {
        "resourceType": "DiagnosticReport",
        "id": f"d-{number}",
        "status": "final",
        "code": {"text": "Chest X-ray"},
        **kept,
    }


class Without:
    """The real record, of a server that knows no such type."""

    def __init__(self, kind: str, record: EhrRecord) -> None:
        self._kind, self._record = kind, record

    def read(self, tenant: Tenant, path: str, **how: Any) -> Resource:
        if path.startswith(self._kind):
            raise EhrAnswerInvalid("The EHR answered 404 to a read.")
        return self._record.read(tenant, path, **how)

    def read_on(self, tenant: Tenant, kind: str, url: str, **how: Any) -> Resource:
        return self._record.read_on(tenant, kind, url, **how)
