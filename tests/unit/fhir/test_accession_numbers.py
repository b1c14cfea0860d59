"""Accession numbers of orders and reports: which count, and whose they are."""

from datetime import UTC, datetime
from typing import Any

import pytest

from cds_service.domain.accession import Accession, IndexedStudy, newest_first, referred
from cds_service.fhir.accession_numbers import accessions_in

ACSN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "ACSN"}]}


def numbered(value: Any) -> dict[str, Any]:
    return {"type": ACSN, "value": value}


def an_order(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "id": "o-1",
        "status": "completed",
        "subject": {"reference": "Patient/p-1"},
        "identifier": [{"type": {"coding": [{"code": "PLAC"}]}, "value": "77"}, numbered("A-1")],
        "authoredOn": "2026-01-02T08:30:00Z",
    } | changes


def a_report(**changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "DiagnosticReport",
        "id": "d-1",
        "status": "final",
        "subject": {"reference": "Patient/p-1"},
        "basedOn": [{"reference": "ServiceRequest/o-1", "identifier": numbered("A-1")}],
        "effectiveDateTime": "2026-01-03",
    } | changes


def day(number: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(2026, 1, number, hour, minute, tzinfo=UTC)


def test_an_order_names_its_accession_number_and_no_other_identifier() -> None:
    assert accessions_in(an_order()) == [Accession("A-1", "p-1", day(2, 8, 30), "o-1")]


def test_a_report_names_the_number_of_the_order_that_it_is_about() -> None:
    assert accessions_in(a_report()) == [Accession("A-1", "p-1", day(3), "o-1")]


def test_a_report_of_an_ehr_without_orders_names_its_own_number() -> None:
    report = a_report(identifier=[numbered(" A-9 ")], basedOn=None)

    assert accessions_in(report) == [Accession("A-9", "p-1", day(3))]


@pytest.mark.parametrize(
    "order",
    [
        an_order(status="draft"),
        an_order(status="entered-in-error"),
        an_order(subject={"reference": "Group/1"}),
        an_order(subject=None),
        an_order(identifier=None),
        an_order(identifier=[numbered(""), numbered(7), "A-1", {"type": "ACSN", "value": "A-1"}]),
        a_report(status="cancelled"),
        a_report(basedOn=[{"identifier": "A-1"}]),
        an_order(resourceType="Task"),
        {"resourceType": "OperationOutcome"},
    ],
)
def test_what_names_no_images_of_a_patient_is_left_out(order: dict[str, Any]) -> None:
    assert accessions_in({"resourceType": "Bundle", "entry": [{"resource": order}]}) == []


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ({"text": " Chest X-ray "}, "Chest X-ray"),
        ({"coding": [{"code": "36554-4"}, {"display": "XR Chest"}]}, "XR Chest"),
        ({"text": 7, "coding": "XR Chest"}, ""),
        ("Chest X-ray", ""),
        (None, ""),
    ],
)
def test_an_order_or_report_says_in_words_what_it_is_about(code: Any, said: str) -> None:
    for resource in (an_order(code=code), a_report(code=code)):
        assert [one.description for one in accessions_in(resource)] == [said]


def test_an_order_without_a_readable_date_still_counts() -> None:
    assert accessions_in(an_order(authoredOn="yesterday")) == [Accession("A-1", "p-1", None, "o-1")]


def test_each_number_comes_once_as_its_newest_source_says_and_the_newest_first() -> None:
    undated, old = Accession("A-0", "p-1"), Accession("A-1", "p-1", day(1))
    again, newer = Accession("A-1", "p-1", day(2), "o-1"), Accession("A-2", "p-1", day(3))

    assert newest_first([again, undated, newer, old]) == [newer, again, undated]


# --- what the archive has under a number -------------------------------------------------------

ARCHIVE = "http://127.0.0.1:9/dicom-web"
ORDER = Accession("A-1", "p-1", day(2), "o-1", "Chest X-ray")


def test_a_study_of_the_index_becomes_a_study_of_the_orders_patient() -> None:
    found = IndexedStudy("1.2.3", ARCHIVE, "MRN-1", day(4), ("DX",), 1, 2)

    [study] = referred(ORDER, [found], "t-1")

    assert (study.tenant_id, study.patient_id, study.study_uid) == ("t-1", "p-1", "1.2.3")
    assert (study.accessions, study.service_request_id) == (("A-1",), "o-1")
    assert (study.started, study.modalities, study.instance_count) == (day(4), ("DX",), 2)
    assert study.archive_url == ARCHIVE and study.imaging_study_id is None
    assert study.description == "Chest X-ray", "in the words of the order, not of the archive"


def test_a_study_without_a_date_is_as_old_as_its_order() -> None:
    [study] = referred(ORDER, [IndexedStudy("1.2.3", ARCHIVE)], "t-1")

    assert study.started == day(2)


def test_one_order_may_have_several_studies_of_one_patient() -> None:
    both = [IndexedStudy("1.2.3", ARCHIVE, "MRN-1"), IndexedStudy("1.2.4", ARCHIVE, "MRN-1")]

    assert len(referred(ORDER, both, "t-1")) == 2


def test_a_number_that_the_archive_has_for_two_patients_names_nobodys_study() -> None:
    both = [IndexedStudy("1.2.3", ARCHIVE, "MRN-1"), IndexedStudy("1.2.4", ARCHIVE, "MRN-2")]

    assert referred(ORDER, both, "t-1") == []


def test_no_number_is_printed() -> None:
    study = IndexedStudy("1.2.3", ARCHIVE, "MRN-1")

    assert "A-1" not in repr(ORDER) and "MRN-1" not in repr(study)
