"""The plot of a finding's score over time."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.usecases.finding_history import Reading
from smart_app.trend import BOTTOM, LEFT, RIGHT, TOP, Trend, trend_of
from tests.builders import a_finding, a_model

DAY = datetime(2026, 1, 2, tzinfo=UTC)


def a_reading(
    days: float | None, score: float = 0.5, version: str = "1", **finding: object
) -> Reading:
    started = None if days is None else DAY + timedelta(days=days)
    model = a_model(version=version, digest="sha256:" + version * 64)
    seen = a_finding(probability=score, **finding)
    return Reading(f"r-{days}", f"1.2.{days}", started, "Chest X-ray", seen, model)


def plotted(*readings: Reading, current: str = "r-0") -> Trend:
    trend = trend_of(readings, current)
    assert trend is not None
    return trend


@pytest.mark.parametrize("readings", [[], [a_reading(0)], [a_reading(None), a_reading(0)]])
def test_one_score_is_no_trend(readings: list[Reading]) -> None:
    assert trend_of(readings, "r-0") is None


def test_the_axis_is_time_and_not_the_number_of_the_study() -> None:
    first, second, last = plotted(a_reading(0), a_reading(1), a_reading(100)).points

    assert second.x - first.x == pytest.approx((last.x - first.x) / 100)


def test_a_higher_score_lies_higher_and_the_threshold_among_the_scores() -> None:
    trend = plotted(a_reading(0, 0.2, threshold=0.62), a_reading(1, 0.9, threshold=0.62))

    low, high = trend.points
    assert high.y < trend.spans[0].threshold_y < low.y


def test_the_line_breaks_where_the_model_version_changes() -> None:
    readings = [
        a_reading(n, version=v, threshold=t)
        for n, v, t in ((0, "1", 0.6), (1, "1", 0.6), (2, "2", 0.8), (3, "2", 0.8))
    ]

    trend = plotted(*readings)

    assert [(span.version, span.threshold, len(span.points)) for span in trend.spans] == [
        ("1", 0.6, 2),
        ("2", 0.8, 2),
    ]
    [gap] = trend.breaks
    assert trend.spans[0].points[-1].x < gap < trend.spans[1].points[0].x


def test_the_open_study_and_the_verdicts_are_marked_by_shape() -> None:
    trend = plotted(
        a_reading(0), a_reading(1, present=False), a_reading(2, present=None), current="r-1"
    )

    assert [point.shape for point in trend.points] == ["above", "below", "uncertain"]
    assert [point.is_current for point in trend.points] == [False, True, False]


@given(st.lists(st.tuples(st.floats(-4000, 4000), st.floats(0, 1)), min_size=2, max_size=20))
def test_nothing_is_drawn_outside_the_plot(scores: list[tuple[float, float]]) -> None:
    trend = plotted(*(a_reading(days, score) for days, score in sorted(scores)))

    assert all(LEFT <= point.x <= RIGHT and TOP <= point.y <= BOTTOM for point in trend.points)
    assert all(LEFT <= span.left <= span.right <= RIGHT for span in trend.spans)
