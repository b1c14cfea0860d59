"""A logit becomes a probability, and a probability a decision, by the card alone."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.calibrate import decide, probability_of
from tests.unit.models.builders import a_parsed_card

CARD = a_parsed_card(
    operating_point__calibration={"slope": 2.0, "intercept": -1.0},
    operating_point__threshold=0.6,
    operating_point__abstain={"low": 0.55, "high": 0.65},
).findings[0]


def test_the_calibration_of_the_card_is_applied() -> None:
    assert probability_of(0.5, CARD) == 0.5
    assert math.isclose(probability_of(1.0, CARD), 1 / (1 + math.exp(-1.0)))


@given(st.floats(allow_nan=False, allow_infinity=False, width=32))
def test_any_finite_logit_gives_a_probability(logit: float) -> None:
    assert 0.0 <= probability_of(logit, CARD) <= 1.0


@given(st.floats(-50, 50), st.floats(-50, 50))
def test_a_higher_logit_never_gives_a_lower_probability(first: float, second: float) -> None:
    low, high = sorted((first, second))

    assert probability_of(low, CARD) <= probability_of(high, CARD)


@pytest.mark.parametrize("logit", [math.nan, math.inf, -math.inf])
def test_a_logit_that_is_not_finite_is_refused(logit: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        probability_of(logit, CARD)


@pytest.mark.parametrize(
    ("probability", "decision"),
    [(0.0, False), (0.549, False), (0.55, None), (0.6, None), (0.65, None), (0.651, True)],
)
def test_the_model_decides_outside_its_abstain_band_only(
    probability: float, decision: bool | None
) -> None:
    assert decide(probability, CARD) is decision
