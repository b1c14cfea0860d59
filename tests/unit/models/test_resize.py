"""The triangle filter: it agrees with Pillow's, and no pixel is left out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from models.resize import resized

SIDES = st.integers(1, 90)


def a_frame(rows: int, columns: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0, 4095, (rows, columns)).astype(np.float32)


def by_pillow(frame: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return np.asarray(Image.fromarray(frame).resize((columns, rows), Image.Resampling.BILINEAR))


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, st.integers(0, 2**32 - 1))
def test_it_agrees_with_pillow_at_any_size(
    rows: int, columns: int, wanted_rows: int, wanted_columns: int, seed: int
) -> None:
    frame = a_frame(rows, columns, seed)

    small = resized(frame, wanted_rows, wanted_columns)

    expected = by_pillow(frame, wanted_rows, wanted_columns)
    assert small.dtype == np.float32 and small.shape == (wanted_rows, wanted_columns)
    assert np.abs(small - expected).max() <= 4095 * 3e-7


def test_a_detectors_frame_agrees_with_pillow() -> None:
    frame = a_frame(2500, 2048)

    assert np.abs(resized(frame, 224, 224) - by_pillow(frame, 224, 224)).max() <= 4095 * 1e-7


@settings(max_examples=60, deadline=None)
@given(SIDES, SIDES, SIDES, st.data(), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_one_value_that_is_not_finite_is_never_lost(
    rows: int, columns: int, wanted: int, data: st.DataObject, value: float
) -> None:
    frame = a_frame(rows, columns)
    frame[data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))] = value

    assert not np.isfinite(resized(frame, wanted, wanted)).all()


@pytest.mark.parametrize("value", [0.0, 7.25, -3.4e38])
def test_one_grey_stays_one_grey(value: float) -> None:
    frame = np.full((37, 61), value, np.float32)

    assert np.allclose(resized(frame, 16, 20), value, rtol=1e-6, atol=0)
