"""The words of the page: a score, a date, an age."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.domain.finding import score_text
from cds_service.domain.job import JobStep, Wait
from smart_app.chart import age_in_words, birth_date_in_words
from smart_app.words import day, minute, progress_of, span, statement_of, summary_of
from tests.builders import a_finding, a_patient, a_result, a_study, an_analysis
from tests.fakes.ledger import FakeJobs

TODAY = date(2026, 3, 1)


@pytest.mark.parametrize(
    ("born", "age"),
    [
        ("2026-02-20", "9 d"),
        ("2026-02-01", "1 mo"),
        ("2026-02-02", "27 d"),
        ("2024-03-02", "23 mo"),
        ("2024-03-01", "2 y"),
        ("1965-03-02", "60 y"),
        ("2026-03-02", ""),
        ("2022-06", ""),
        ("2022", ""),
        ("soon", ""),
        ("", ""),
    ],
)
def test_an_age_is_said_as_paediatrics_says_it(born: str, age: str) -> None:
    assert age_in_words(born, TODAY) == age


def test_a_partial_birth_date_stays_as_the_ehr_states_it() -> None:
    assert birth_date_in_words("2022-06-01") == "1 Jun 2022"
    assert birth_date_in_words("2022-06") == "2022-06"


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from([True, False, None]))
def test_no_statement_ever_calls_an_image_normal(
    probability: float, threshold: float, present: bool | None
) -> None:
    finding = a_finding(probability=probability, threshold=threshold, present=present)

    statement = statement_of(finding)

    assert "normal" not in f"{statement.headline} {statement.meaning}".lower()
    assert score_text(probability) in statement.meaning
    assert score_text(threshold) in statement.meaning


def test_the_gravest_finding_stands_for_the_study() -> None:
    clear, found = a_finding(present=False), a_finding(present=True)

    summary = summary_of(a_result(analysis=an_analysis(findings=(clear, found))))

    assert summary.level == "warning"


def test_times_are_said_in_utc() -> None:
    assert minute(datetime(2026, 1, 2, 9, 5, tzinfo=UTC)) == "2 Jan 2026, 09:05 UTC"
    assert day(None) == "date not stated"


def test_a_time_is_said_in_the_offset_in_which_the_ehr_states_the_study() -> None:
    seoul, india = timezone(timedelta(hours=9)), timezone(timedelta(hours=5, minutes=30))
    moment = datetime(2026, 1, 5, 23, 0, tzinfo=UTC)

    assert minute(moment) == "5 Jan 2026, 23:00 UTC"
    assert minute(moment, moment.astimezone(seoul)) == "6 Jan 2026, 08:00 UTC+9"
    assert minute(moment, moment.astimezone(india)) == "6 Jan 2026, 04:30 UTC+5:30"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(35, "35 s"), (240, "4 min"), (3 * 3600, "3 h"), (5 * 86_400, "5 days"), (-1, "")],
)
def test_a_wait_is_said_in_one_unit(seconds: int, said: str) -> None:
    start = datetime(2026, 1, 5, tzinfo=UTC)

    assert span(start, start + timedelta(seconds=seconds)) == said


@pytest.mark.parametrize(
    ("step", "wait", "heading", "said"),
    [
        (JobStep.QUEUED, Wait(0, False, None), "Analysis queued", "next in line, waiting"),
        (JobStep.QUEUED, Wait(3, False, 12), "Analysis queued", "3 before this one, about 12 s"),
        (JobStep.QUEUED, Wait(0, True, 4), "Analysis running", "about 4 s"),
        (JobStep.READING, Wait(0, True, None), "Analysis running", ""),
    ],
)
def test_a_wait_is_said_as_far_as_anybody_can_tell(
    step: JobStep, wait: Wait, heading: str, said: str
) -> None:
    job, _ = FakeJobs().open("key", a_study(), a_patient(), "model")

    progress = progress_of(replace(job, step=step), wait)

    assert progress.heading == heading and progress.wait.startswith(said)
    assert ("about" in progress.wait) is (wait.seconds is not None)
