"""The overlay must read the same for every colour vision, and hide nothing that is cold."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.explain import hot_regions
from models.overlay import OUTLINE_COLOUR, colour_table, overlay_png, picture_png
from tests.unit.models.builders import a_frame, a_heat


def test_equal_steps_of_heat_are_nearly_equal_steps_of_lightness() -> None:
    steps = np.diff(_cie_lightness(colour_table())[::8])

    assert (steps > 0).all()
    assert float(steps.max()) < 1.6 * float(steps.min())


def test_the_overlay_is_clear_where_it_is_cold_and_light_where_it_is_hot() -> None:
    heat = a_heat(row=4, column=11)

    overlay = _decoded(overlay_png(heat, (), 256, 256))

    assert overlay.shape == (256, 256, 4)
    assert overlay[200, 40, 3] == 0
    assert 0 < int(overlay[72, 184, 3]) < 128


def test_the_outline_is_drawn_also_when_the_fill_is_off() -> None:
    heat = a_heat()
    regions = hot_regions(heat, 256, 256)

    overlay = _decoded(overlay_png(heat, regions, 256, 256, fill=0.0))

    drawn = overlay[overlay[..., 3] > 0]
    assert len(drawn) > 50 and (drawn == OUTLINE_COLOUR).all()


def test_the_picture_is_the_radiograph_itself_where_it_is_cold() -> None:
    grey = np.round(a_frame(rows=256, columns=256) * 255).astype(np.uint8)
    heat = a_heat(row=4, column=11)

    picture = _decoded(picture_png(grey, heat, hot_regions(heat, 256, 256)))

    assert picture.shape == (256, 256, 3)
    assert (picture[150:, :100] == grey[150:, :100, np.newaxis]).all()
    assert (picture[72, 184] != grey[72, 184]).any()


def _decoded(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)))


def _cie_lightness(table: NDArray[np.uint8]) -> NDArray[np.float64]:
    """L* of sRGB colours, written apart from the code under test (CIE 15)."""
    c = table / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    y = linear @ np.array([0.2126, 0.7152, 0.0722])
    return np.where(y > 216 / 24389, 116 * np.cbrt(y) - 16, y * 24389 / 27)
