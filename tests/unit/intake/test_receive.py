"""Word of a study, whoever brought it: whose it is, the EHR says."""

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from cds_service.domain.audit import AuditAction
from cds_service.domain.finding import Coding
from cds_service.domain.intake import Clue, Reception, clue_of
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrBusy, ScopeDenied, SightlineError
from cds_service.intake.receive import receive
from cds_service.usecases.answer_hook import answer_hook
from tests.builders import a_model, a_tenant
from tests.fakes.imaging import a_use
from tests.unit.cards.builders import (
    House,
    MakeHouse,
    a_call,
    a_card_model,
    a_patient_resource,
    a_study_resource,
    know,
)
from tests.unit.intake.desk import a_desk, accession

UID = "1.2.840.99999.1"
TENANT = a_tenant()
NO_UID: dict[str, Any] = {"identifier": [accession("ACC-1")]}


def heard(house: House, clue: Clue = Clue(UID), tenant: Tenant = TENANT) -> Reception:  # noqa: B008  frozen
    return receive(clue, tenant, a_desk(house))


def test_a_study_that_the_ehr_knows_is_asked_for_once(a_house: MakeHouse) -> None:
    house = a_house()

    outcomes = [heard(house), heard(house)]

    assert outcomes == [Reception.ASKED, Reception.KNOWN]
    [job] = house.jobs.all
    assert (job.study.study_uid, job.study.patient_id) == (UID, "p-1")
    assert house.doorbell.rung == [job.id]


@pytest.mark.parametrize("door_comes_first", [True, False])
def test_a_hook_and_a_door_make_one_job(a_house: MakeHouse, door_comes_first: bool) -> None:
    house = a_house()
    callers: list[Callable[[], object]] = [
        lambda: heard(house),
        lambda: answer_hook(a_call(), TENANT, house.desk, budget_s=60),
    ]

    for call in callers if door_comes_first else reversed(callers):
        call()

    assert len(house.jobs.all) == 1
    assert len(house.doorbell.rung) == 1


def test_it_is_searched_for_by_its_uid_with_and_without_the_prefix(a_house: MakeHouse) -> None:
    house = a_house()

    heard(house)

    path, bearer = house.record.reads[0]
    assert unquote(path) == (
        f"ImagingStudy?identifier=urn:dicom:uid|urn:oid:{UID},urn:dicom:uid|{UID}"
    )
    assert bearer is None  # our own token


def test_a_study_that_the_ehr_does_not_know_is_not_analysed(a_house: MakeHouse) -> None:
    house = a_house()

    outcome = heard(house, Clue("1.2.3", "ACC-1"))

    assert outcome is Reception.UNKNOWN
    assert house.jobs.all == []


def test_a_study_without_uid_is_found_by_its_accession_number(a_house: MakeHouse) -> None:
    house = a_house()
    house.record.resources = [a_patient_resource(), a_study_resource(**NO_UID)]

    outcome = heard(house, Clue("1.2.3", "ACC-1"))

    assert outcome is Reception.ASKED
    [job] = house.jobs.all
    assert (job.study.study_uid, job.study.accession) == ("1.2.3", "ACC-1")
    assert unquote(house.record.reads[1][0]) == "ImagingStudy?identifier=ACC-1"


def test_an_accession_number_s_own_marks_are_not_search_syntax(a_house: MakeHouse) -> None:
    house = a_house()

    heard(house, Clue("1.2.3", "A,B|C$\\&x=1"))

    path = house.record.reads[1][0]
    assert "&" not in path.partition("?")[2]
    assert unquote(path) == r"ImagingStudy?identifier=A\,B\|C\$\\&x=1"


def test_the_accession_number_of_another_study_is_no_match(a_house: MakeHouse) -> None:
    house = a_house()
    other = a_study_resource()
    other["identifier"].append(accession("ACC-1"))
    house.record.resources = [a_patient_resource(), other]

    outcome = heard(house, Clue("1.2.3", "ACC-1"))

    assert outcome is Reception.UNKNOWN
    assert house.jobs.all == []


def test_an_identifier_of_another_kind_is_no_accession_number(a_house: MakeHouse) -> None:
    house = a_house()
    house.record.resources = [
        a_patient_resource(),
        a_study_resource(identifier=[{"value": "ACC-1"}]),
    ]

    assert heard(house, Clue("1.2.3", "ACC-1")) is Reception.UNKNOWN


def test_a_study_of_several_patients_is_nobody_s(a_house: MakeHouse) -> None:
    house = a_house()
    second = a_study_resource(id="s-2", subject={"reference": "Patient/p-2"})
    house.record.resources.append(second)

    outcome = heard(house)

    assert outcome is Reception.AMBIGUOUS
    assert house.jobs.all == []
    [event] = house.audit.events
    assert (event.action, event.outcome) == (AuditAction.PATIENT_MISMATCH, "refused")
    assert (event.patient_id, event.study_uid) == (None, UID)


@pytest.mark.parametrize("status", ["registered", "cancelled", "entered-in-error"])
def test_a_withdrawn_study_is_not_analysed(a_house: MakeHouse, status: str) -> None:
    house = a_house()
    house.record.resources = [a_patient_resource(), a_study_resource(status=status)]

    assert heard(house) is Reception.UNKNOWN


def test_a_study_whose_patient_cannot_be_read_is_not_analysed(a_house: MakeHouse) -> None:
    house = a_house()
    house.record.resources = [a_study_resource()]

    assert heard(house) is Reception.UNKNOWN
    assert house.jobs.all == []


def test_a_study_that_no_model_reads_waits_for_a_hook(a_house: MakeHouse) -> None:
    house = a_house()
    series = [{"uid": "1.2.3.4", "modality": {"code": "MG"}}]
    house.record.resources = [a_patient_resource(), a_study_resource(series=series)]

    assert heard(house) is Reception.PASSED
    assert house.jobs.all == []


def test_an_old_study_that_was_touched_waits_for_a_hook(a_house: MakeHouse) -> None:
    house = a_house()
    house.clock.advance(40 * 24 * 3600)

    assert heard(house) is Reception.PASSED
    assert house.jobs.all == []


def test_an_analysed_study_is_asked_for_again_when_it_has_grown(a_house: MakeHouse) -> None:
    house = a_house()
    know(house)
    before = heard(house)
    house.record.resources = [a_patient_resource(), a_study_resource(numberOfInstances=2)]

    after = heard(house)

    assert (before, after) == (Reception.KNOWN, Reception.ASKED)
    assert len(house.jobs.all) == 2


def test_the_patient_chooses_between_several_models(a_house: MakeHouse) -> None:
    other = a_card_model(identity=a_model(id="adults"))
    house = a_house(
        use=a_use(min_age_days=365, max_age_days=5 * 365),
        others=((other, a_use(min_age_days=18 * 365, max_age_days=200 * 365)),),
    )
    house.record.resources = [a_patient_resource(birthDate="1960-01-01"), a_study_resource()]

    assert heard(house) is Reception.ASKED
    assert [job.model_id for job in house.jobs.all] == ["adults"]


def test_the_endpoint_is_read_where_only_it_names_the_archive(a_house: MakeHouse) -> None:
    house = a_house()
    named = ("https://other.example.org/Endpoint/e-2", "Endpoint/v", "Endpoint/e-1")
    elsewhere = {  # our EHR's with the id of another server's
        "resourceType": "Endpoint",
        "id": "e-2",
        "connectionType": {"code": "dicom-wado-rs"},
        "address": "https://archive.example.org/of-another-study",
    }
    house.record.resources = [
        a_patient_resource(),
        a_study_resource(endpoint=[{"reference": one} for one in named]),
        {"resourceType": "Endpoint", "id": "v", "connectionType": {"code": "ihe-iid"}},
        elsewhere,
        {
            "resourceType": "Endpoint",
            "id": "e-1",
            "connectionType": {"code": "dicom-wado-rs"},
            "address": "https://archive.example.org/dicom-web",
        },
    ]

    assert heard(house, tenant=a_tenant(archive_base=None)) is Reception.ASKED
    [job] = house.jobs.all
    assert job.study.archive_url == "https://archive.example.org/dicom-web"


@pytest.mark.parametrize("failure", [EhrBusy("busy"), ScopeDenied("no")])
def test_an_ehr_that_cannot_be_asked_leaves_nothing_behind(
    a_house: MakeHouse, failure: SightlineError
) -> None:
    house = a_house()
    house.record.failure = failure

    with pytest.raises(type(failure)):
        heard(house)

    assert house.jobs.all == [] and house.audit.events == []


def test_our_own_reads_are_audited_without_a_clinical_word(a_house: MakeHouse) -> None:
    house = a_house()

    heard(house)

    [event] = house.audit.events
    assert (event.action, event.patient_id, event.study_uid) == (AuditAction.EHR_READ, "p-1", UID)
    assert event.detail == "Patient for an intake door"


@pytest.mark.parametrize(
    "uid", ["", "1", "9.1", "1.2/../3", "1." + "2" * 63, "1.02", None, "1.2\n"]
)
def test_what_is_no_uid_leads_nowhere(uid: object) -> None:
    assert clue_of(uid, "ACC-1") is None


@pytest.mark.parametrize("text", ["", "   ", "A" * 65, "a\nb", 7, None])
def test_what_cannot_be_an_accession_number_is_left_out(text: object) -> None:
    assert clue_of("1.2.3", text) == Clue("1.2.3", None)


def test_every_model_that_reads_a_study_is_asked(a_house: MakeHouse) -> None:
    other = Coding("http://snomed.info/sct", "36118008", "Pneumothorax")
    second = a_card_model(identity=a_model(id="pneumothorax"), findings=(other,))
    house = a_house(others=((second, a_use()),))

    assert heard(house) is Reception.ASKED
    assert sorted(job.model_id for job in house.jobs.all) == ["cxr_pneumonia_peds", "pneumothorax"]
    assert heard(house) is Reception.KNOWN
