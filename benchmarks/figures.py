"""A figure: what was measured, how much it was, and the goal it is held against."""

import math
from collections.abc import Sequence
from dataclasses import dataclass


class MeasurementFailed(Exception):
    """A figure could not be taken; the text says why."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value; `goal` is the most it should be, None where there is no goal."""

    name: str
    value: float
    unit: str
    goal: float | None
    conditions: str

    def __str__(self) -> str:
        held = "no goal"
        if self.goal is not None:
            verdict = "met" if self.value <= self.goal else "NOT MET"
            held = f"goal <= {self.goal:g} {self.unit}: {verdict}"
        value = f"{self.value:.3g}" if self.value < 100 else f"{self.value:.0f}"
        return f"{self.name:<48} {value:>6} {self.unit:<3} {held}\n    {self.conditions}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least `share` (0..1) of the values do not exceed."""
    if not values:
        raise MeasurementFailed("nothing was measured")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
