"""The studies of the worklist: the same on the fake, SQLite and PostgreSQL."""

from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from cds_service.domain.finding import Coding, Result
from cds_service.domain.job import Job
from cds_service.domain.worklist import Case, Window
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

EFFUSION = Coding("http://snomed.info/sct", "60046008", "Pleural effusion")
LONG_AGO = NOW - timedelta(days=365)


def ask(ledger: Ledger, number: int, **changes: Any) -> Job:
    """Open a job for a study of its own."""
    study = a_study(study_uid=f"1.2.3.{number}", patient_id=f"p-{number}", **changes)
    job, _ = ledger.jobs.open(f"key-{number}", study, a_patient(), "model")
    return job


def answer(ledger: Ledger, job: Job, name: str, **changes: Any) -> Result:
    """Keep a result of a job's study, computed by now."""
    lease = ledger.jobs.take(job.id, "worker")
    assert lease is not None
    values = {
        "id": name,
        "key": name,
        "tenant_id": job.study.tenant_id,
        "patient_id": job.study.patient_id,
        "study_uid": job.study.study_uid,
        "computed_at": ledger.clock.now,
    }
    saved = ledger.results.save(a_result(**(values | changes)), lease)
    ledger.jobs.give_up(lease, "Test", retry=True)
    return saved


def cases(
    ledger: Ledger, since: datetime = LONG_AGO, limit: int = 100, **changes: Any
) -> list[Case]:
    days = {name: changes.pop(name) for name in ("first", "last") if name in changes}
    return ledger.worklist.cases("t-1", Window(since, **days), limit=limit, **changes)


def test_a_case_is_the_newest_result_and_the_newest_job_of_a_study(ledger: Ledger) -> None:
    first = ask(ledger, 1)
    answer(ledger, first, "r-old")
    ledger.clock.advance(60)
    newest = answer(ledger, first, "r-new")

    [case] = cases(ledger)

    assert case == Case("p-1", "1.2.3.1", newest, ledger.jobs.get(first.id))


def test_a_study_that_two_models_have_read_is_two_cases(ledger: Ledger) -> None:
    """Nothing that one found is hidden behind what the other did not find."""
    first = ask(ledger, 1)
    positive = answer(ledger, first, "r-1")
    ledger.clock.advance(60)
    effusion = a_finding(coding=EFFUSION, present=False, probability=0.1)
    analysis = an_analysis(model=a_model(id="other"), findings=(effusion,))
    negative = answer(ledger, first, "r-2", analysis=analysis)

    assert [case.result for case in cases(ledger)] == [negative, positive]


def test_what_has_only_a_job_is_a_case_too(ledger: Ledger) -> None:
    job = ask(ledger, 1)

    assert cases(ledger) == [Case("p-1", "1.2.3.1", None, job)]


def test_cases_are_those_of_the_time_and_of_too_many_the_newest(ledger: Ledger) -> None:
    for number in range(4):
        ask(ledger, number)
        ledger.clock.advance(60)

    def uids(**changes: Any) -> list[str]:
        return [case.study_uid[-1] for case in cases(ledger, **changes)]

    assert uids() == ["3", "2", "1", "0"]
    assert uids(since=NOW + timedelta(seconds=60)) == ["3", "2", "1"]
    assert uids(limit=2) == ["3", "2"]
    assert uids(limit=2, skip=2) == ["1", "0"] and uids(limit=2, skip=4) == []


def test_days_are_those_on_which_the_images_were_taken_where_they_were(ledger: Ledger) -> None:
    late = datetime.fromisoformat("2026-01-02T23:30:00-05:00")  # the third in UTC
    answer(ledger, ask(ledger, 1, started=late), "r-1", study_started=late)
    ask(ledger, 2, started=late)
    ask(ledger, 3, started=late + timedelta(days=1))
    ask(ledger, 4, started=None)

    def uids(**days: Any) -> set[str]:
        return {case.study_uid[-1] for case in cases(ledger, **days)}

    assert uids(last=date(2026, 1, 2)) == uids(first=date(2026, 1, 2), last=date(2026, 1, 2))
    assert uids(last=date(2026, 1, 2)) == {"1", "2"}
    assert uids(first=date(2026, 1, 3)) == {"3"} and uids(first=date(2026, 1, 4)) == set()


def test_the_critical_ones_are_found_among_many(ledger: Ledger) -> None:
    said: tuple[dict[str, Any], ...] = (
        {"present": True, "critical": True},
        {"present": True, "critical": False},
        {"present": False, "critical": True},
        {"present": None, "critical": True},
    )
    for number, finding in enumerate(said):
        analysis = an_analysis(findings=(a_finding(**finding),))
        answer(ledger, ask(ledger, number), f"r-{number}", analysis=analysis)
    words = not_analysed("age", 'made for "critical":true,"present":true')
    answer(ledger, ask(ledger, 8), "r-8", analysis=words)
    ask(ledger, 9)

    assert [case.study_uid[-1] for case in cases(ledger, only_critical=True)] == ["0"]


def test_an_old_job_with_a_new_result_is_of_the_time(ledger: Ledger) -> None:
    job = ask(ledger, 1)
    ledger.clock.advance(3600)
    result = answer(ledger, job, "r-1")

    [case] = cases(ledger, since=NOW + timedelta(seconds=60))

    assert case.result == result and case.job is not None


def test_another_tenant_s_studies_are_none(ledger: Ledger) -> None:
    foreign = ask(ledger, 1, tenant_id="t-2")
    answer(ledger, foreign, "r-1")

    assert cases(ledger) == []


def test_one_study_uid_at_two_patients_is_two_cases(ledger: Ledger) -> None:
    for patient in ("p-1", "p-2"):
        study = a_study(patient_id=patient)
        ledger.jobs.open(f"key-{patient}", study, a_patient(), "model")

    assert {
        (case.patient_id, case.job and case.job.study.patient_id) for case in cases(ledger)
    } == {
        ("p-1", "p-1"),
        ("p-2", "p-2"),
    }


def test_a_study_that_was_given_to_another_patient_is_the_first_one_s_no_more(
    ledger: Ledger,
) -> None:
    first = ask(ledger, 1)
    answer(ledger, first, "r-1")
    given = replace(first.study, patient_id="p-2")
    theirs, _ = ledger.jobs.open("key-2", given, a_patient(), "model")
    lease = ledger.jobs.take(theirs.id, "worker")
    assert lease is not None

    ledger.results.claim(lease)

    assert [case.patient_id for case in cases(ledger)] == ["p-2"]
