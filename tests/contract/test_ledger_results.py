"""Results and publications: the same on the fake, SQLite and PostgreSQL."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from cds_service.domain.finding import Activation, Box, Coding, InstanceReason
from cds_service.domain.job import Lease
from cds_service.domain.publication import Publication, PublicationState
from cds_service.errors import LeaseLost, NotFound
from tests.builders import (
    NOW,
    a_finding,
    a_model,
    a_patient,
    a_result,
    a_study,
    an_analysis,
    not_analysed,
)
from tests.contract.ledgers import Ledger

UID = "1.2.840.99999.1"
EFFUSION = Coding("http://snomed.info/sct", "60046008", "Pleural effusion")


@pytest.fixture
def lease(ledger: Ledger) -> Lease:
    job, _ = ledger.jobs.open("key-1", a_study(), a_patient(), "model")
    lease = ledger.jobs.take(job.id, "worker-1")
    assert lease is not None
    return lease


def test_a_result_is_returned_exactly_as_it_was_saved(ledger: Ledger, lease: Lease) -> None:
    result = a_result(
        analysis=an_analysis(
            findings=(
                a_finding(
                    present=None,
                    probability=0.1 + 0.2,
                    critical=True,
                    region=Box(10, 20, 30, 40),
                    activation=Activation(2, 3, (0.0, 0.25, 1 / 3, 0.5, 0.75, 1.0)),
                    guards=("patient-id", "modality", "pixels"),
                ),
                a_finding(present=False, probability=0.01),
            ),
            instances=(InstanceReason("no-pixels", "it has no image", sop_uid="1.2.3"),),
        )
    )

    saved = ledger.results.save(result, lease)

    assert saved == result
    assert ledger.results.get("r-1") == result


def given_to(ledger: Ledger, patient_id: str, name: str) -> Lease:
    """Ask for the same study of another patient, a minute later, and take the job."""
    ledger.clock.advance(60)
    study, facts = a_study(patient_id=patient_id), a_patient(patient_id=patient_id)
    job, made = ledger.jobs.open(name, study, facts, "model")
    taken = ledger.jobs.take(job.id, "worker-2")
    assert made and taken is not None
    return taken


def test_a_study_that_another_patient_has_now_is_taken_from_the_first(
    ledger: Ledger, lease: Lease
) -> None:
    saved = ledger.results.save(a_result(), lease)
    ledger.jobs.finish(lease, saved.id)
    assert not ledger.results.claim(given_to(ledger, "p-1", "key-1b"))
    theirs = given_to(ledger, "p-2", "key-2")

    assert ledger.results.claim(theirs) and not ledger.results.claim(theirs)

    assert ledger.results.studies_of("t-1", "p-1") == []
    assert ledger.results.of_models("t-1", "p-1", [UID]) == []
    assert ledger.jobs.of_models("t-1", "p-1", [UID]) == []
    assert ledger.results.get(saved.id).analysis == saved.analysis  # kept for the retention


def test_a_study_that_comes_back_is_asked_for_anew_and_has_its_result_again(
    ledger: Ledger, lease: Lease
) -> None:
    saved = ledger.results.save(a_result(), lease)
    ledger.jobs.finish(lease, saved.id)
    ledger.results.claim(given_to(ledger, "p-2", "key-2"))
    back = given_to(ledger, "p-1", "key-1")

    assert ledger.results.claim(back)
    again = ledger.results.save(a_result(id="r-2"), back)

    assert (again.id, again.patient_id) == (saved.id, "p-1")
    assert ledger.results.studies_of("t-1", "p-1") == [again]


def test_the_work_for_the_first_patient_ends_when_the_study_is_another_s(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.results.claim(given_to(ledger, "p-2", "key-2"))

    with pytest.raises(LeaseLost):
        ledger.results.save(a_result(), lease)
    assert ledger.results.studies_of("t-1", "p-1") == []


def test_what_the_ehr_said_later_is_not_taken(ledger: Ledger, lease: Lease) -> None:
    later = given_to(ledger, "p-2", "key-2")

    assert not ledger.results.claim(lease)

    assert ledger.results.claim(later)


@pytest.mark.parametrize("other", [{"tenant_id": "t-2"}, {"study_uid": "1.2.3"}])
def test_another_study_and_another_ehr_s_stay(
    ledger: Ledger, lease: Lease, other: dict[str, str]
) -> None:
    kept = ledger.results.save(a_result(patient_id="p-9", **other), lease)

    assert not ledger.results.claim(lease)

    assert ledger.results.get(kept.id).patient_id == "p-9"


def test_a_reason_instead_of_findings_is_kept(ledger: Ledger, lease: Lease) -> None:
    result = a_result(analysis=not_analysed("patient-too-old", "made for children aged 1-5"))

    ledger.results.save(result, lease)

    assert ledger.results.get("r-1") == result


def test_the_time_zone_of_the_study_is_kept(ledger: Ledger, lease: Lease) -> None:
    after_midnight = datetime(2026, 1, 2, 0, 30, tzinfo=timezone(timedelta(hours=9)))

    ledger.results.save(a_result(study_started=after_midnight), lease)

    started = ledger.results.get("r-1").study_started
    assert started is not None and started.isoformat() == "2026-01-02T00:30:00+09:00"


def test_a_result_that_was_found_again_is_the_newest_again(ledger: Ledger, lease: Lease) -> None:
    """So it is when a site goes back to an earlier model."""
    first = ledger.results.save(a_result(), lease)
    later, latest = (first.computed_at + timedelta(hours=hours) for hours in (1, 2))
    ledger.results.save(a_result(id="r-2", key="k-2", computed_at=later), lease)

    again = ledger.results.save(a_result(id="r-3", computed_at=latest), lease)

    assert again == replace(first, computed_at=latest)
    assert ledger.results.studies_of("t-1", "p-1") == [again]


def test_the_same_key_is_stored_once(ledger: Ledger, lease: Lease) -> None:
    first = ledger.results.save(a_result(), lease)

    again = ledger.results.save(a_result(id="r-2", study_description="other"), lease)

    assert again == first
    with pytest.raises(NotFound):
        ledger.results.get("r-2")


def test_the_newest_result_of_each_study_is_returned(ledger: Ledger, lease: Lease) -> None:
    later = NOW + timedelta(minutes=1)
    newest = a_result(id="r-2", key="k-2", computed_at=later)
    other = a_result(id="r-3", key="k-3", study_uid="1.2.3")
    for result in (a_result(), newest, other):
        ledger.results.save(result, lease)

    found = ledger.results.of_models("t-1", "p-1", [UID, "1.2.3", "9"])

    assert {one.study_uid: one for one in found} == {UID: newest, "1.2.3": other}
    assert len(found) == 2


def test_of_two_models_each_has_its_newest_result(ledger: Ledger, lease: Lease) -> None:
    other = an_analysis(model=a_model(id="other"), findings=(a_finding(coding=EFFUSION),))
    later, latest = (NOW + timedelta(minutes=minutes) for minutes in (1, 2))
    stored = (
        a_result(),
        a_result(id="r-2", key="k-2", analysis=other, computed_at=later),
        a_result(id="r-3", key="k-3", computed_at=latest),
    )
    for result in stored:
        ledger.results.save(result, lease)

    of_models = ledger.results.of_models("t-1", "p-1", [UID])

    assert {one.id for one in of_models} == {"r-2", "r-3"}
    assert [one.id for one in ledger.results.studies_of("t-1", "p-1")] == ["r-3", "r-2"]
    assert ledger.results.of_models("t-1", "p-2", [UID]) == []


def test_results_of_another_tenant_or_patient_are_not_returned(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.results.save(a_result(), lease)

    assert ledger.results.of_models("t-2", "p-1", [UID]) == []
    assert ledger.results.of_models("t-1", "p-2", [UID]) == []
    assert ledger.results.studies_of("t-2", "p-1") == []
    assert ledger.results.studies_of("t-1", "p-2") == []


def test_studies_of_a_patient_come_newest_first_and_undated_last(
    ledger: Ledger, lease: Lease
) -> None:
    dates = (datetime(2024, 5, 1, tzinfo=UTC), None, datetime(2026, 1, 2, tzinfo=UTC))
    for number, started in enumerate(dates):
        result = a_result(
            id=f"r-{number}", key=f"k-{number}", study_uid=f"1.{number}", study_started=started
        )
        ledger.results.save(result, lease)

    assert [result.id for result in ledger.results.studies_of("t-1", "p-1")] == [
        "r-2",
        "r-0",
        "r-1",
    ]


def test_a_publication_is_kept_and_a_later_attempt_replaces_it(
    ledger: Ledger, lease: Lease
) -> None:
    ledger.results.save(a_result(), lease)
    assert ledger.publications.of("r-1") is None

    ledger.publications.record(Publication("r-1", PublicationState.FAILED), lease)
    done = Publication(
        "r-1", PublicationState.DONE, ("Observation/1", "Device/2"), ("the heatmap",)
    )
    ledger.publications.record(done, lease)

    assert ledger.publications.of("r-1") == done
