"""The demo's composites must be read as their label says, however the archive stores them."""

from importlib.resources import files

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from models.calibrate import decide, probability_of
from models.prepare import prepare
from tests.unit.models.builders import PNEUMONIA, the_session

PICTURES = files("cds_service") / "sandbox" / "pictures"
NAMES = sorted(path.name for path in PICTURES.iterdir() if path.name.endswith(".png"))


def test_there_are_enough_of_each() -> None:
    assert sum(name.startswith("present-") for name in NAMES) >= 3
    assert sum(name.startswith("absent-") for name in NAMES) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_a_composite_is_read_as_its_label_says(name: str) -> None:
    assert decide(_probability(_pixels(name)), PNEUMONIA.findings[0]) is name.startswith("present-")


@pytest.mark.parametrize("name", NAMES)
def test_twelve_bits_do_not_change_the_reading(name: str) -> None:
    pixels = _pixels(name)

    twelve = np.round(pixels / 255 * 4095)

    assert abs(_probability(twelve) - _probability(pixels)) < 0.01


@pytest.mark.parametrize("name", NAMES)
def test_the_burned_in_words_do_not_move_the_reading(name: str) -> None:
    pixels = _pixels(name)
    rows = pixels.shape[0]
    covered = pixels.copy()
    covered[rows - 40 :, :270] = pixels[rows - 80 : rows - 40, :270]

    assert abs(_probability(covered) - _probability(pixels)) < 0.1
    assert decide(_probability(covered), PNEUMONIA.findings[0]) is name.startswith("present-")


def _pixels(name: str) -> NDArray[np.float32]:
    with (PICTURES / name).open("rb") as stream, Image.open(stream) as image:
        assert image.mode == "L" and min(image.size) >= 512
        return np.asarray(image, dtype=np.float32)


def _probability(pixels: NDArray[np.float32]) -> float:
    (logit,) = the_session().run(["logit"], {"image": prepare(pixels, PNEUMONIA.input.size)})
    return probability_of(float(logit[0, 0]), PNEUMONIA.findings[0])
