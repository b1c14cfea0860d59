"""What the model reads must not depend on how the grey scale was stored."""

import numpy as np
import pytest
from numpy.typing import NDArray

from models.calibrate import probability_of
from models.prepare import prepare
from tests.unit.models.builders import PNEUMONIA, a_frame, the_session


def test_the_input_has_the_shape_and_scale_that_the_card_promises() -> None:
    frame = a_frame(rows=300, columns=200)

    image = prepare(frame, 128)

    assert image.shape == (1, 1, 128, 128) and image.dtype == np.float32
    assert abs(float(image.mean())) < 1e-5 and abs(float(image.std()) - 1) < 1e-5


def test_eight_and_twelve_bits_give_the_same_input_and_the_same_probability() -> None:
    eight = np.round(a_frame(rows=512, columns=400) * 255)
    twelve = np.round(eight / 255 * 4095)

    first, second = prepare(eight, 128), prepare(twelve, 128)

    assert float(np.abs(first - second).max()) < 1e-2
    assert abs(_probability(first) - _probability(second)) < 0.01


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, -1024.0), (0.01, 0.0), (16.0, 30000.0)])
def test_a_rescaled_frame_gives_the_same_input(slope: float, intercept: float) -> None:
    frame = np.round(a_frame(rows=256, columns=256) * 4095)

    rescaled = (frame * slope + intercept).astype(np.float32)

    assert np.allclose(prepare(rescaled, 128), prepare(frame, 128), atol=1e-2)


def test_a_few_burned_in_pixels_do_not_move_the_grey_scale() -> None:
    frame = a_frame(rows=1024, columns=1024)
    marked = frame.copy()
    marked[20:50, 20:50] = 100.0

    body = (slice(None), slice(None), slice(20, None), slice(20, None))

    assert np.allclose(prepare(marked, 128)[body], prepare(frame, 128)[body], atol=0.1)


def test_an_inverted_frame_gives_the_inverted_input() -> None:
    frame = a_frame(rows=256, columns=256)

    assert np.allclose(prepare(1 - frame, 128), -prepare(frame, 128), atol=1e-3)


def test_preparing_twice_gives_the_same_bytes() -> None:
    frame = a_frame(rows=333, columns=777)

    assert prepare(frame, 128).tobytes() == prepare(frame.copy(), 128).tobytes()


def test_preparing_leaves_the_frame_as_it_was() -> None:
    frame = a_frame(rows=100, columns=100)
    before = frame.copy()

    prepare(frame, 128)

    assert np.array_equal(frame, before)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (np.zeros((64, 64), np.float32), "no contrast"),
        (np.full((64, 64), 4095, np.float32), "no contrast"),
        (np.zeros((2, 64, 64), np.float32), "rows and columns"),
        (np.zeros((0, 64), np.float32), "rows and columns"),
        (np.array([[0.0, np.nan], [1.0, 2.0]], np.float32), "finite"),
        (np.array([[0.0, np.inf], [1.0, 2.0]], np.float32), "finite"),
    ],
)
def test_a_frame_that_holds_no_image_is_refused(frame: NDArray[np.float32], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        prepare(frame, 128)


def _probability(image: NDArray[np.float32]) -> float:
    logit = the_session().run(["logit"], {"image": image})[0]
    return probability_of(float(logit[0, 0]), PNEUMONIA.findings[0])
