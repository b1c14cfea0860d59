"""Turn a logit into a probability that can be read as one, and into a decision.

Source: Platt 1999, "Probabilistic outputs for support vector machines" (slope and intercept).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from models.contract import FindingOutput

__all__ = ["decide", "logits_of", "probability_of"]

# A score of exactly 0 or 1 has no logit; half-precision networks do give them.
NEAREST_TO_CERTAIN = 1e-6


def logits_of(scores: NDArray[np.float32], kind: str) -> NDArray[np.float64]:
    """Return the logit of each column of a model's scores.

    scores   (N, columns)
    kind     "logit": taken as they are; "probability": each 0..1; "class-logits": what a softmax
             over the columns would be taken of, one column for each class
    returns  same shape; the logit of each column against all others

    Raises ValueError when a score is not finite, a probability outside 0..1, or a class alone.
    """
    values = scores.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError("a score is not a finite number")
    if kind == "probability":
        if values.min() < 0 or values.max() > 1:
            raise ValueError("a score is not a probability")
        values = np.clip(values, NEAREST_TO_CERTAIN, 1 - NEAREST_TO_CERTAIN)
        odds: NDArray[np.float64] = np.log(values) - np.log1p(-values)
        return odds
    if kind == "class-logits":
        if values.shape[1] < 2:
            raise ValueError("there is one class only, which says nothing")
        columns = range(values.shape[1])
        others = [_log_sum_exp(np.delete(values, column, axis=1)) for column in columns]
        return values - np.stack(others, axis=1)
    return values


def _log_sum_exp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    highest: NDArray[np.float64] = values.max(axis=1)
    sums: NDArray[np.float64] = np.exp(values - highest[:, np.newaxis]).sum(axis=1)
    logs: NDArray[np.float64] = highest + np.log(sums)
    return logs


def probability_of(logit: float, point: FindingOutput) -> float:
    """Return the calibrated probability of the finding, 0..1.

    Raises ValueError when the logit is not a finite number.
    """
    if not math.isfinite(logit):
        raise ValueError("the logit is not a finite number")
    z = point.calibration_slope * logit + point.calibration_intercept
    # Both forms are the logistic function; each overflows where the other one is used.
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def decide(probability: float, point: FindingOutput) -> bool | None:
    """Return whether the finding is present; None inside the abstain band, ends included."""
    if point.abstain_low <= probability <= point.abstain_high:
        return None
    return probability > point.threshold
