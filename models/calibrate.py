"""Turn a logit into a probability that can be read as one, and into a decision.

Source: Platt 1999, "Probabilistic outputs for support vector machines" (slope and intercept).
"""

from __future__ import annotations

import math

from models.contract import ModelCard

__all__ = ["decide", "probability_of"]


def probability_of(logit: float, card: ModelCard) -> float:
    """Return the calibrated probability of the finding, 0..1.

    Raises ValueError when the logit is not a finite number.
    """
    if not math.isfinite(logit):
        raise ValueError("the logit is not a finite number")
    z = card.calibration_slope * logit + card.calibration_intercept
    # Both forms are the logistic function; each overflows where the other one is used.
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def decide(probability: float, card: ModelCard) -> bool | None:
    """Return whether the finding is present; None inside the abstain band, ends included."""
    if card.abstain_low <= probability <= card.abstain_high:
        return None
    return probability > card.threshold
