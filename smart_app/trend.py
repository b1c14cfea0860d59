"""A finding's score over time, as the geometry of a small plot.

Scores of different model versions are not comparable: the line breaks where the version changes,
and each version has its own threshold.

Source: architecture "How pages look" (severity by shape as well as colour), "Thresholds live in the
model card"; WCAG 2.2 1.1.1, 1.4.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from cds_service.usecases.finding_history import Reading, moment

WIDTH, HEIGHT = 320.0, 132.0  # units of the drawing, which scales to any size
LEFT, RIGHT, TOP, BOTTOM = 30.0, 308.0, 10.0, 108.0  # of the plot in it
REACH = 9.0  # how far a threshold is drawn beyond the scores that it holds for


@dataclass(frozen=True, slots=True)
class Point:
    """One score in the plot."""

    x: float
    y: float
    reading: Reading
    is_current: bool

    @property
    def shape(self) -> str:
        """Name the shape: "above" is filled, "below" is hollow, "uncertain" is a diamond."""
        present = self.reading.finding.present
        return "uncertain" if present is None else "above" if present else "below"


@dataclass(frozen=True, slots=True)
class Span:
    """The scores of one model version that follow each other, with its threshold."""

    version: str
    points: tuple[Point, ...]
    threshold: float
    threshold_y: float

    @property
    def left(self) -> float:
        """Where the threshold begins."""
        return max(LEFT, self.points[0].x - REACH)

    @property
    def right(self) -> float:
        """Where the threshold ends."""
        return min(RIGHT, self.points[-1].x + REACH)

    @property
    def line(self) -> str:
        """The way through the scores, as points of a polyline."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)


@dataclass(frozen=True, slots=True)
class Trend:
    """The plot: its spans from left to right."""

    spans: tuple[Span, ...]

    @property
    def points(self) -> tuple[Point, ...]:
        """Every score, oldest first."""
        return tuple(point for span in self.spans for point in span.points)

    @property
    def breaks(self) -> tuple[float, ...]:
        """Where the model version changes: halfway between two spans."""
        return tuple(
            (before.points[-1].x + after.points[0].x) / 2 for before, after in pairwise(self.spans)
        )


def trend_of(readings: Sequence[Reading], current_result_id: str) -> Trend | None:
    """Lay out the dated readings, oldest first; None for fewer than two: one score is no trend."""
    dated = [reading for reading in readings if reading.started is not None]
    if len(dated) < 2:
        return None
    first, last = (moment(reading.started).timestamp() for reading in (dated[0], dated[-1]))
    points = [
        Point(
            x=_x(moment(reading.started).timestamp(), first, last),
            y=_y(reading.finding.probability),
            reading=reading,
            is_current=reading.result_id == current_result_id,
        )
        for reading in dated
    ]
    spans = groupby(points, key=lambda point: _comparable(point.reading))
    return Trend(tuple(_span(tuple(group)) for _, group in spans))


def _comparable(reading: Reading) -> tuple[str, str, float]:
    """Return what two readings must share to lie on one line."""
    return reading.model.id, reading.model.digest, reading.finding.threshold


def _span(points: tuple[Point, ...]) -> Span:
    reading = points[0].reading
    threshold = reading.finding.threshold
    return Span(reading.model.version, points, threshold, _y(threshold))


def _x(at: float, first: float, last: float) -> float:
    share = (at - first) / (last - first) if last > first else 0.5
    inner = RIGHT - LEFT - 2 * REACH
    return LEFT + REACH + share * inner


def _y(score: float) -> float:
    return BOTTOM - score * (BOTTOM - TOP)
