"""A patient's earlier readings of one finding."""

from datetime import UTC, datetime, timedelta
from typing import Any

from cds_service.domain.finding import Coding, Result
from cds_service.usecases.finding_history import analysing_after, finding_history, newest_after
from cds_service.usecases.review_finding import LaunchFacts
from tests.builders import (
    PNEUMONIA,
    a_finding,
    a_patient,
    a_result,
    a_study,
    an_analysis,
    not_analysed,
)
from tests.fakes.ledger import FakeJobs, FakeResults

CHART = LaunchFacts("t-1", "p-1", "Practitioner/1")
DAY = datetime(2026, 1, 2, 8, 30, tzinfo=UTC)


def of_study(name: str, days: float | None = 0, **changes: Any) -> Result:
    started = None if days is None else DAY + timedelta(days=days)
    values = {"id": name, "key": name, "study_uid": f"1.2.{name}", "study_started": started}
    return a_result(**(values | changes))


def ids(*stored: Result, coding: Coding = PNEUMONIA) -> list[str]:
    readings = finding_history(CHART, coding, results=FakeResults(stored=stored))
    return [reading.result_id for reading in readings]


def test_readings_come_oldest_first_and_undated_before_them() -> None:
    assert ids(of_study("new", 5), of_study("old", -90), of_study("undated", None)) == [
        "undated",
        "old",
        "new",
    ]


def test_a_study_without_this_finding_is_not_comparable() -> None:
    other = Coding(PNEUMONIA.system, "36118008", "Pneumothorax")
    of_other = of_study("b", analysis=an_analysis(findings=(a_finding(coding=other),)))
    refused = of_study("c", analysis=not_analysed("age", "made for children aged 1-5"))

    assert ids(of_study("a"), of_other, refused) == ["a"]


def test_another_patient_s_or_tenant_s_studies_are_not_in_the_history() -> None:
    assert ids(of_study("a", patient_id="p-2"), of_study("b", tenant_id="t-2")) == []


def newest(opened: Result, *others: Result) -> str | None:
    results = FakeResults(stored=(opened, *others))
    found = newest_after(CHART, opened.study_uid, opened.study_started, results=results)
    return found.id if found else None


def test_a_newer_study_is_named_when_an_older_one_is_open() -> None:
    middle, last = of_study("middle", 3), of_study("last", 9)

    assert newest(of_study("opened"), middle, last) == "last"
    assert newest(last, middle) is None


def test_a_newer_study_that_was_not_analysed_exists_all_the_same() -> None:
    refused = of_study("refused", 1, analysis=not_analysed("view", "made for frontal films"))

    assert newest(of_study("opened"), refused) == "refused"


def test_an_undated_study_is_neither_newer_nor_older() -> None:
    assert newest(of_study("opened"), of_study("undated", None)) is None
    assert newest(of_study("opened", None), of_study("dated")) is None


def coming(opened: Result, /, **waiting: float | None) -> str | None:
    """Ask for what waits, of studies that are this many days after the opened one."""
    jobs = FakeJobs()
    for name, days in waiting.items():
        started = None if days is None else DAY + timedelta(days=days)
        study = a_study(study_uid=f"1.2.{name}", started=started)
        jobs.open(name, study, a_patient(), "cxr_pneumonia_peds")
    found = analysing_after(CHART, opened.study_uid, opened.study_started, jobs=jobs)
    return found.dispatch_key if found else None


def test_the_newest_of_the_newer_studies_that_wait_is_named() -> None:
    assert coming(of_study("opened"), old=-2, last=9, middle=3) == "last"


def test_the_opened_study_an_older_and_an_undated_one_are_not_newer() -> None:
    assert coming(of_study("opened"), opened=1, old=-2, undated=None) is None
    assert coming(of_study("opened", None), dated=3) is None
