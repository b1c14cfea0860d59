"""How urgent a study is, and in which order studies come."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.domain.alert import Reaction, ReactionKind
from cds_service.domain.finding import Coding, Result
from cds_service.domain.job import Job, JobState, JobStep
from cds_service.domain.worklist import (
    Case,
    ChartStudy,
    Choice,
    Entry,
    Urgency,
    cases_of,
    entry_of,
)
from tests.builders import (
    NOW,
    PNEUMONIA,
    a_finding,
    a_model,
    a_result,
    a_study,
    an_analysis,
    not_analysed,
)

OTHER = Coding("http://snomed.info/sct", "60046008", "Pleural effusion")
LIMIT = timedelta(minutes=60)


def a_job(**changes: Any) -> Job:
    values: dict[str, Any] = {
        "id": "j-1",
        "dispatch_key": "k",
        "study": a_study(),
        "model_id": "m",
        "step": JobStep.DONE,
        "state": JobState.DONE,
        "attempts": 1,
        "created_at": NOW,
        "updated_at": NOW,
    }
    return Job(**(values | changes))


RUNNING = a_job(state=JobState.OPEN, step=JobStep.READING)


def with_findings(*findings: dict[str, Any]) -> Result:
    return a_result(analysis=an_analysis(findings=tuple(a_finding(**one) for one in findings)))


def a_case(result: Result | None = None, job: Job | None = None) -> Case:
    return Case("p-1", "1.2.840.99999.1", result, job)


def entry(case: Case, *reactions: Reaction, minutes: int = 0) -> Entry:
    return entry_of(case, reactions, limit=LIMIT, now=NOW + timedelta(minutes=minutes))


def reviewed(code: str = "233604007", minutes: int = 1, **changes: Any) -> Reaction:
    at = NOW + timedelta(minutes=minutes)
    return replace(Reaction(ReactionKind.REVIEWED, "r-1", code, at, reader="me"), **changes)


@pytest.mark.parametrize(
    ("case", "urgency"),
    [
        (a_case(with_findings({"present": True, "critical": True})), Urgency.CRITICAL),
        (a_case(with_findings({"present": False, "critical": True})), Urgency.NEGATIVE),
        (a_case(with_findings({"present": None, "critical": True})), Urgency.UNCERTAIN),
        (a_case(with_findings({"present": False}, {"present": True})), Urgency.POSITIVE),
        (a_case(with_findings({"present": False}, {"present": None})), Urgency.UNCERTAIN),
        (a_case(with_findings({"present": True}), RUNNING), Urgency.POSITIVE),
        (a_case(a_result(analysis=not_analysed("age", "too old"))), Urgency.NOT_ANALYSED),
        (a_case(a_result(analysis=not_analysed("age", "too old")), RUNNING), Urgency.RUNNING),
        (a_case(None, RUNNING), Urgency.RUNNING),
        (a_case(None, replace(RUNNING, step=JobStep.PUBLISHING)), Urgency.RUNNING),
        (a_case(None, a_job(state=JobState.FAILED)), Urgency.NOT_ANALYSED),
        (a_case(None, a_job(state=JobState.QUARANTINED)), Urgency.NOT_ANALYSED),
    ],
)
def test_the_gravest_thing_that_is_known_counts(case: Case, urgency: Urgency) -> None:
    assert case.urgency is urgency


def test_a_result_that_is_being_written_back_is_not_running() -> None:
    refused = a_result(analysis=not_analysed("age", "too old"))

    case = a_case(refused, replace(RUNNING, step=JobStep.PUBLISHING))

    assert case.urgency is Urgency.NOT_ANALYSED


def test_what_is_known_comes_from_the_result_else_from_the_job() -> None:
    job = a_job(study=a_study(imaging_study_id="s-9", description="CT", modalities=("CT",)))

    both, alone = a_case(a_result(imaging_study_id=None), job), a_case(None, job)

    assert both.chart_study is None and both.description == "Chest X-ray"
    assert alone.chart_study is not None and alone.chart_study.imaging_study_id == "s-9"
    assert alone.description == "CT" and alone.modalities == ("CT",)
    assert a_case(a_result()).modalities == ()


def test_where_the_ehr_names_no_imaging_study_the_number_of_the_order_is_what_to_ask_about() -> (
    None
):
    numbered = a_study(imaging_study_id=None, accession="A-1", service_request_id="o-1")
    job, result = a_job(study=numbered), a_result(imaging_study_id=None)
    wanted = ChartStudy("p-1", None, "1.2.840.99999.1", ("A-1",), "o-1")

    assert a_case(result, job).chart_study == a_case(None, job).chart_study == wanted
    assert a_case(result, None).chart_study is None
    without = a_job(study=a_study(imaging_study_id=None))
    assert a_case(result, without).chart_study is None
    assert "A-1" not in repr(wanted)


def test_a_time_without_a_zone_can_be_compared() -> None:
    naive = a_case(a_result(study_started=datetime(2026, 1, 2)))

    assert naive.started == datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(("minutes", "is_overdue"), [(59, False), (60, False), (61, True)])
def test_a_critical_finding_is_overdue_past_the_limit(minutes: int, is_overdue: bool) -> None:
    case = a_case(with_findings({"present": True, "critical": True}))

    judged = entry(case, minutes=minutes)

    assert judged.is_overdue is is_overdue and judged.waiting == timedelta(minutes=minutes)


def test_only_a_critical_finding_is_ever_overdue() -> None:
    for result in (with_findings({"present": True}), with_findings({"present": None})):
        assert not entry(a_case(result), minutes=10_000).is_overdue


def test_an_acknowledged_finding_waits_for_nobody() -> None:
    case = a_case(with_findings({"present": True, "critical": True}))

    judged = entry(case, reviewed(), minutes=500)

    assert judged.acknowledged_at == NOW + timedelta(minutes=1)
    assert judged.waiting is None and not judged.is_overdue


def test_all_that_asks_for_it_must_be_acknowledged() -> None:
    case = a_case(with_findings({"present": True}, {"present": True, "coding": OTHER}))

    half = entry(case, reviewed(), minutes=9)
    whole = entry(case, reviewed(), reviewed(OTHER.code, minutes=5), minutes=9)

    assert half.acknowledged_at is None and half.waiting == timedelta(minutes=9)
    assert whole.acknowledged_at == NOW + timedelta(minutes=5)


def test_beside_a_critical_finding_the_others_need_not_be_acknowledged() -> None:
    critical = {"present": True, "critical": True}
    case = a_case(with_findings(critical, {"present": True, "coding": OTHER}))

    assert entry(case, reviewed(), minutes=500).acknowledged_at is not None
    assert entry(case, reviewed(OTHER.code), minutes=500).is_overdue


def test_what_was_said_about_another_result_counts_for_nothing() -> None:
    case = a_case(with_findings({"present": True}))

    assert entry(case, reviewed(result_id="r-0")).acknowledged_at is None


def test_the_first_acknowledgement_that_stands_counts() -> None:
    case = a_case(with_findings({"present": True}))
    back = replace(reviewed(minutes=2), kind=ReactionKind.WITHDRAWN)
    other = reviewed(minutes=3, reader="colleague")

    assert entry(case, reviewed(), back).acknowledged_at is None
    assert entry(case, reviewed(), back, other).acknowledged_at == other.at
    assert entry(case, reviewed(), reviewed(minutes=4)).acknowledged_at == reviewed().at


def test_a_clock_that_is_behind_makes_no_negative_wait() -> None:
    assert entry(a_case(None, RUNNING), minutes=-5).waiting == timedelta()


MOMENTS = st.none() | st.datetimes(timezones=st.just(UTC), min_value=datetime(2026, 1, 1))


@given(
    st.lists(
        st.builds(
            Entry,
            case=st.builds(
                lambda at: a_case(a_result(study_started=at)),
                MOMENTS,
            ),
            urgency=st.sampled_from(Urgency),
            acknowledged_at=st.none(),
            waiting=st.none() | st.timedeltas(min_value=timedelta(), max_value=timedelta(days=9)),
            is_overdue=st.just(False),
        )
    )
)
def test_urgency_comes_before_age_and_age_before_waiting(entries: list[Entry]) -> None:
    for one, other in pairwise(sorted(entries, key=lambda entry: entry.order)):
        assert one.urgency.rank <= other.urgency.rank
        if one.urgency is other.urgency:
            ages = (one.case.started, other.case.started)
            assert ages[1] is None or (ages[0] is not None and ages[0] <= ages[1])
            if ages[0] == ages[1]:
                assert (one.waiting or timedelta()) >= (other.waiting or timedelta())


def test_an_overdue_one_comes_first_of_all() -> None:
    critical = a_case(with_findings({"present": True, "critical": True}))
    overdue = entry(critical, minutes=61)
    older = replace(entry(critical), case=a_case(replace(critical.result, study_started=None)))  # type: ignore[type-var]

    assert sorted([older, overdue], key=lambda one: one.order)[0] is overdue


@pytest.mark.parametrize(
    ("choice", "takes"),
    [
        (Choice(), True),
        (Choice(finding="233604007"), True),
        (Choice(finding="other"), False),
        (Choice(urgency=Urgency.POSITIVE), True),
        (Choice(urgency=Urgency.CRITICAL), False),
        (Choice(unacknowledged=True), True),
        (Choice(first=date(2026, 1, 2)), True),
        (Choice(first=date(2026, 1, 3)), False),
        (Choice(last=date(2026, 1, 2)), True),
        (Choice(last=date(2026, 1, 1)), False),
        (Choice(modality="DX"), True),
        (Choice(modality="CT"), False),
        (Choice(finding="233604007", modality="CT"), False),
    ],
)
def test_a_choice_takes_what_fits_all_of_it(choice: Choice, takes: bool) -> None:
    assert choice.takes(entry(a_case(with_findings({"present": True}), a_job()))) is takes


def test_a_study_without_a_date_is_in_no_range() -> None:
    undated = entry(a_case(a_result(study_started=None)))

    assert Choice().takes(undated)
    assert not Choice(first=date(1, 1, 2)).takes(undated)
    assert not Choice(last=date(9999, 1, 1)).takes(undated)


def test_what_was_ruled_out_is_not_a_finding() -> None:
    negative = entry(a_case(with_findings({"present": False})))

    assert not Choice(finding="233604007").takes(negative)
    assert not Choice(unacknowledged=True).takes(negative)


# --- the results and jobs of one study ---------------------------------------------------------


def by_model(name: str, hour: int, coding: Coding) -> tuple[Result, Job]:
    analysis = an_analysis(model=a_model(id=name), findings=(a_finding(coding=coding),))
    at = NOW + timedelta(hours=hour)
    return a_result(id=name, analysis=analysis, computed_at=at), a_job(id=name, model_id=name)


def test_each_model_s_result_is_a_case_with_its_own_job() -> None:
    (one, first), (other, second) = by_model("one", 1, OTHER), by_model("other", 2, PNEUMONIA)

    cases = cases_of("p-1", "1.2.3", [one, other], [first, second])

    assert [(case.result, case.job) for case in cases] == [(other, second), (one, first)]


def test_a_study_without_a_result_is_the_case_of_its_newest_job() -> None:
    old, new = a_job(id="old"), a_job(id="new")

    [case] = cases_of("p-1", "1.2.3", [], [old, new])

    assert case.result is None and case.job is new
