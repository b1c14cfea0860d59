"""Word of a study at an EHR without ImagingStudy: its order or report says whose it is."""

from typing import Any

import pytest

from cds_service.domain.accession import IndexedStudy
from cds_service.domain.intake import Clue, Reception
from cds_service.domain.tenant import Tenant, Vendor
from cds_service.errors import ArchiveFailed, EhrAnswerInvalid, EhrRefused, SightlineError
from cds_service.intake.receive import receive
from cds_service.usecases.answer_hook import answer_hook
from cds_service.usecases.ports import Resource
from tests.builders import a_tenant
from tests.fakes.neighbours import FakeEhrRecord
from tests.unit.cards.builders import House, MakeHouse, a_call, a_patient_resource
from tests.unit.intake.desk import a_desk, accession

UID = "1.2.840.99999.1"
ORACLE = a_tenant(vendor=Vendor.ORACLE)
SCOPE = "system/Patient.rs system/ServiceRequest.rs system/DiagnosticReport.rs"


def an_order(patient: str = "p-1", kind: str = "ServiceRequest", **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": kind,
        "id": f"{kind}-{patient}",
        "status": "completed",
        "subject": {"reference": f"Patient/{patient}"},
        "identifier": [accession("A-1")],
        "authoredOn": "2026-01-02T08:30:00Z",
    } | changes


def listed(patient: str = "MRN-1", uid: str = UID) -> IndexedStudy:
    return IndexedStudy(
        uid, str(ORACLE.archive_base), patient, modalities=("DX",), instance_count=1
    )


class ByPatientAlone(FakeEhrRecord):
    """An EHR that finds orders and reports by their patient, and not by an identifier."""

    def read(self, tenant: Tenant, path: str, **how: Any) -> Resource:
        kind, _, query = path.partition("?")
        if query.startswith("identifier=") and kind != "Patient":
            raise EhrAnswerInvalid("The EHR answered 400 to a read.")
        return super().read(tenant, path, **how)


def heard(house: House, *resources: Resource) -> Reception:
    house.record.resources = [a_patient_resource(), *resources]
    house.record.own_scope = SCOPE
    return receive(Clue(UID, "A-1"), ORACLE, a_desk(house))


@pytest.mark.parametrize("kind", ["ServiceRequest", "DiagnosticReport"])
def test_the_patient_is_that_of_the_order_or_report(a_house: MakeHouse, kind: str) -> None:
    house = a_house()
    house.index.studies["A-1"] = [listed()]

    assert heard(house, an_order(kind=kind)) is Reception.ASKED

    [job] = house.jobs.all
    assert (job.study.study_uid, job.study.patient_id) == (UID, "p-1")
    assert (job.study.accession, job.study.instance_count) == ("A-1", 1)


def test_a_hook_and_a_door_make_one_job(a_house: MakeHouse) -> None:
    house = a_house()
    house.index.studies["A-1"] = [listed()]

    heard(house, an_order())
    answer_hook(a_call(prefetch={}), ORACLE, house.desk, budget_s=60)

    assert len(house.jobs.all) == 1


def test_a_study_that_no_archive_lists_is_taken_by_its_uid(a_house: MakeHouse) -> None:
    house = a_house()

    assert heard(house, an_order()) is Reception.ASKED

    [job] = house.jobs.all
    assert (job.study.study_uid, job.study.instance_count) == (UID, None)


@pytest.mark.parametrize(
    ("orders", "rows", "outcome"),
    [
        ([], [listed()], Reception.UNKNOWN),
        ([an_order(status="entered-in-error")], [listed()], Reception.UNKNOWN),
        ([an_order(identifier=[{"value": "A-1"}])], [listed()], Reception.UNKNOWN),
        ([an_order()], [listed(uid="1.2.3")], Reception.UNKNOWN),
        ([an_order()], [listed(), listed("MRN-2", "1.2.3")], Reception.UNKNOWN),
        ([an_order(), an_order("p-2")], [listed()], Reception.AMBIGUOUS),
    ],
)
def test_what_is_not_one_patient_s_is_not_analysed(
    a_house: MakeHouse, orders: list[Resource], rows: list[IndexedStudy], outcome: Reception
) -> None:
    house = a_house()
    house.index.studies["A-1"] = rows

    assert heard(house, *orders) is outcome
    assert house.jobs.all == []


@pytest.mark.parametrize("kind", ["ServiceRequest", "DiagnosticReport"])
def test_where_orders_are_found_by_patient_alone_the_archive_says_whose_to_read(
    a_house: MakeHouse, kind: str
) -> None:
    house = a_house()
    house.record = ByPatientAlone()
    house.index.studies["A-1"] = [listed()]

    assert heard(house, an_order(kind=kind), an_order("p-2", kind)) is Reception.ASKED

    [job] = house.jobs.all
    assert (job.study.study_uid, job.study.patient_id) == (UID, "p-1")
    assert house.index.asked == ["A-1"]


@pytest.mark.parametrize(
    ("resources", "rows"),
    [
        ([an_order(identifier=[accession("A-2")])], [listed()]),
        ([an_order()], [listed("MRN-2")]),
        ([an_order()], [listed(), listed("MRN-2", "1.2.3")]),
        ([an_order("p-2")], [listed()]),
        ([an_order()], [listed(uid="1.2.3")]),
    ],
    ids=["another number", "another patient", "several", "another's order", "another study"],
)
def test_there_too_what_is_not_one_patient_s_is_not_analysed(
    a_house: MakeHouse, resources: list[Resource], rows: list[IndexedStudy]
) -> None:
    house = a_house()
    house.record = ByPatientAlone()
    house.index.studies["A-1"] = rows

    assert heard(house, *resources) is Reception.UNKNOWN
    assert house.jobs.all == []


def test_two_patients_of_one_identifier_with_that_order_are_nobody(a_house: MakeHouse) -> None:
    house = a_house()
    house.record = ByPatientAlone()
    house.index.studies["A-1"] = [listed()]
    twin = a_patient_resource(id="p-2")

    assert heard(house, twin, an_order(), an_order("p-2")) is Reception.AMBIGUOUS
    assert house.jobs.all == []


def test_where_no_archive_says_whose_the_ehr_is_asked_again(a_house: MakeHouse) -> None:
    house = a_house()
    house.record = ByPatientAlone()

    with pytest.raises(EhrAnswerInvalid):
        heard(house, an_order())


def test_without_an_accession_number_the_study_waits(a_house: MakeHouse) -> None:
    house = a_house()

    assert receive(Clue(UID), ORACLE, a_desk(house)) is Reception.UNKNOWN
    assert house.record.reads == []


@pytest.mark.parametrize("error", [EhrRefused("no"), ArchiveFailed("away")])
def test_an_ehr_or_an_archive_that_cannot_be_asked_is_asked_again(
    a_house: MakeHouse, error: SightlineError
) -> None:
    house = a_house()
    house.index.fails_with = error if isinstance(error, ArchiveFailed) else None
    house.record.failure = error if isinstance(error, EhrRefused) else None

    with pytest.raises(type(error)):
        heard(house, an_order())

    assert house.jobs.all == []
