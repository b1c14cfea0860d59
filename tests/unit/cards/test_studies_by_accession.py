"""An EHR without ImagingStudy: its orders' accession numbers lead to the archive's studies."""

from collections.abc import Callable
from typing import Any

import pytest

from cds_service.domain.accession import IndexedStudy
from cds_service.domain.hook import HookCall
from cds_service.domain.tenant import Tenant, Vendor
from cds_service.errors import (
    ArchiveFailed,
    EhrAnswerInvalid,
    EhrBusy,
    EhrRefused,
    PrefetchUnavailable,
    SightlineError,
)
from cds_service.usecases.look_up_studies import Lookup, look_up_studies
from cds_service.usecases.ports import Resource
from cds_service.usecases.studies_by_accession import MAX_NUMBERS
from tests.builders import a_tenant
from tests.fakes.neighbours import FakeEhrRecord
from tests.unit.cards.builders import (
    House,
    MakeHouse,
    a_bundle,
    a_call,
    a_patient_resource,
    a_study_resource,
    know,
    present,
)
from tests.unit.intake.desk import accession

ARCHIVE = "http://127.0.0.1:9/dicom-web"
UID = "1.2.840.99999.1"
SCOPE = "system/Patient.rs system/ServiceRequest.rs"
ORACLE = a_tenant(vendor=Vendor.ORACLE)


def an_order(number: str = "A-1", day: int = 2, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "id": f"o-{number}",
        "status": "completed",
        "subject": {"reference": "Patient/p-1"},
        "identifier": [accession(number)],
        "authoredOn": f"2026-01-{day:02}T08:30:00Z",
    } | changes


def a_report(number: str = "A-1") -> dict[str, Any]:
    return an_order(number, resourceType="DiagnosticReport", id="d-1", status="final")


def indexed(uid: str = UID, patient: str = "MRN-1") -> IndexedStudy:
    return IndexedStudy(uid, ARCHIVE, patient, modalities=("DX",), instance_count=1)


class WithoutImagingStudy(FakeEhrRecord):
    """An EHR that fails for one type of resource, as it says."""

    def __init__(self, *resources: Resource, error: SightlineError) -> None:
        super().__init__(a_patient_resource(), *resources, own_scope="system/*.rs")
        self.error = error
        self.asked: list[str] = []

    def read(self, tenant: Tenant, path: str, **how: Any) -> Resource:
        self.asked.append(path.partition("?")[0].partition("/")[0])
        if path.startswith("ImagingStudy"):
            raise self.error
        return super().read(tenant, path, **how)


def an_oracle(house: House, *resources: Resource, scope: str = SCOPE) -> House:
    """Let the house's EHR be one of which we may read orders, and no ImagingStudy."""
    house.record = FakeEhrRecord(a_patient_resource(), *resources, own_scope=scope)
    house.index.studies["A-1"] = [indexed()]
    return house


def looked_up(house: House, tenant: Tenant = ORACLE, call: HookCall | None = None) -> Lookup:
    deadline = house.desk.gatherer.timer() + 60
    return look_up_studies(call or a_call(prefetch={}), tenant, house.desk, deadline)


def test_an_order_leads_to_the_archives_study_and_to_its_analysis(a_house: MakeHouse) -> None:
    house = an_oracle(a_house(), an_order())

    [known] = looked_up(house).known

    assert house.dispatched == [UID] and known.job is not None
    study = known.job.study
    assert (study.patient_id, study.accessions, study.archive_url) == ("p-1", ("A-1",), ARCHIVE)


def test_a_report_leads_there_too(a_house: MakeHouse) -> None:
    house = an_oracle(a_house(), a_report(), scope="system/Patient.rs system/DiagnosticReport.rs")

    assert len(looked_up(house).known) == 1 and house.dispatched == [UID]


def test_imaging_study_is_not_asked_of_an_ehr_that_has_none(a_house: MakeHouse) -> None:
    house = an_oracle(a_house(), an_order(), scope=f"{SCOPE} system/ImagingStudy.rs")

    looked_up(house)

    asked = sorted(path.partition("?")[0].partition("/")[0] for path, _ in house.record.reads)
    assert asked == ["Patient", "ServiceRequest"]


def test_a_list_that_an_ehr_sends_all_the_same_is_used(a_house: MakeHouse) -> None:
    house = an_oracle(a_house(), an_order())
    sent = {"studies": present(a_bundle(a_study_resource(2)))}

    looked_up(house, call=a_call(prefetch=sent))

    assert house.dispatched == ["1.2.840.99999.2"] and house.index.asked == []


@pytest.mark.parametrize("error", [EhrAnswerInvalid("404"), EhrRefused("403")])
def test_an_ehr_that_turns_out_to_have_no_imaging_study_is_asked_for_orders(
    a_house: MakeHouse, error: SightlineError
) -> None:
    house = an_oracle(a_house())
    house.record = WithoutImagingStudy(an_order(), error=error)

    looked_up(house, a_tenant())

    assert house.dispatched == [UID]


def test_any_registered_archive_is_one_to_ask(a_house: MakeHouse) -> None:
    house = an_oracle(a_house())
    house.record = WithoutImagingStudy(an_order(), error=EhrRefused("403"))
    further = a_tenant(archive_base=None, other_archives=("dicom://OURS@THEIRS@127.0.0.1:9",))

    looked_up(house, further)

    assert house.dispatched == [UID]


def test_a_token_without_a_scope_for_imaging_study_leads_to_orders(a_house: MakeHouse) -> None:
    house = an_oracle(a_house(), an_order())

    looked_up(house, a_tenant())

    assert house.dispatched == [UID]


def test_an_ehr_that_is_busy_is_not_asked_for_orders_in_addition(a_house: MakeHouse) -> None:
    house = an_oracle(a_house())
    house.record = record = WithoutImagingStudy(an_order(), error=EhrBusy("503"))

    found = looked_up(house, a_tenant())

    assert not found.was_read and "ServiceRequest" not in record.asked


def test_what_is_known_of_older_studies_stays_known(a_house: MakeHouse) -> None:
    house = an_oracle(a_house(), an_order())
    know(house, 7)

    found = looked_up(house)

    uids = {one.study.study_uid for one in found.known if one.study}
    assert uids == {UID, "1.2.840.99999.7"}


def test_an_order_of_another_patient_is_not_followed(a_house: MakeHouse) -> None:
    house = an_oracle(a_house(), an_order(subject={"reference": "Patient/p-2"}))

    assert looked_up(house).known == [] and house.index.asked == []


def test_a_number_that_two_patients_have_in_the_archive_analyses_nobody(
    a_house: MakeHouse,
) -> None:
    house = an_oracle(a_house(), an_order())
    house.index.studies["A-1"].append(indexed("1.2.3", "MRN-2"))

    assert looked_up(house).known == [] and house.dispatched == []


def test_one_hook_asks_about_the_newest_numbers_only(a_house: MakeHouse) -> None:
    orders = [an_order(f"A-{number}", day=number) for number in range(1, MAX_NUMBERS + 3)]
    house = an_oracle(a_house(), *orders)

    looked_up(house)

    newest = {f"A-{number}" for number in range(3, MAX_NUMBERS + 3)}
    assert set(house.index.asked) == newest


def test_an_archive_that_fails_leaves_what_the_ledger_knows(a_house: MakeHouse) -> None:
    house = an_oracle(a_house(), an_order())
    know(house)
    house.index.fails_with = ArchiveFailed("The archive did not answer with JSON.")

    found = looked_up(house)

    assert len(found.known) == 1 and not found.was_read


REFUSED: dict[str, Callable[[House], House]] = {
    "nothing may be read": lambda house: an_oracle(house, an_order(), scope="system/Patient.rs"),
    "no order is numbered": lambda house: an_oracle(house, an_order(identifier=[])),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_list_without_any_source_is_still_refused(a_house: MakeHouse, case: str) -> None:
    house = REFUSED[case](a_house())

    with pytest.raises(PrefetchUnavailable, match="'studies'"):
        looked_up(house, a_tenant())


def test_without_a_registered_archive_orders_lead_nowhere(a_house: MakeHouse) -> None:
    house = an_oracle(a_house(), an_order())

    with pytest.raises(PrefetchUnavailable):
        looked_up(house, a_tenant(archive_base=None))

    assert house.index.asked == []
