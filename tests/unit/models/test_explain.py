"""The heat map and its regions must point where the activation is."""

import numpy as np
import pytest

from models.explain import heat_of, hot_regions, upsample
from tests.unit.models.builders import a_heat


def test_heat_lies_between_zero_and_one_and_is_zero_where_nothing_speaks_for_it() -> None:
    activation = np.array([[-3.0, 0.0], [5.0, 20.0]], dtype=np.float32)

    heat = heat_of(activation)

    assert heat.dtype == np.float32
    assert heat.tolist() == [[0.0, 0.0], [0.25, 1.0]]


def test_faint_activation_is_not_stretched_to_full_heat() -> None:
    heat = heat_of(np.full((16, 16), 0.3, dtype=np.float32))

    assert float(heat.max()) < 0.1
    assert hot_regions(heat, 500, 500) == ()


def test_upsampling_keeps_a_flat_map_flat_and_the_peak_in_its_place() -> None:
    flat = upsample(np.full((16, 16), 0.4, dtype=np.float32), 301, 211)
    wide = upsample(a_heat(row=4, column=11), 320, 160)

    peak = np.unravel_index(np.argmax(wide), wide.shape)

    assert np.allclose(flat, 0.4)
    assert abs(peak[0] - 4.5 * 20) <= 10 and abs(peak[1] - 11.5 * 10) <= 5


def test_a_region_encloses_the_hot_spot_in_pixels_of_the_image() -> None:
    regions = hot_regions(a_heat(row=4, column=11), 2000, 1600)

    (region,) = regions
    assert region.left < 11.5 * 100 < region.left + region.width
    assert region.top < 4.5 * 125 < region.top + region.height
    assert region.width < 800 and region.height < 1000


def test_the_outline_stays_on_the_box_and_touches_each_of_its_sides() -> None:
    (region,) = hot_regions(a_heat(), 1280, 1280)

    x, y = np.array(region.outline).T
    assert (x.min(), x.max()) == (region.left, region.left + region.width)
    assert (y.min(), y.max()) == (region.top, region.top + region.height)


def test_the_outline_encloses_as_much_as_is_hot() -> None:
    heat = a_heat()

    (region,) = hot_regions(heat, 128, 128)

    x, y = np.array(region.outline).T
    area = 0.5 * abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))
    assert area == float((upsample(heat, 128, 128) >= 0.5).sum())


def test_two_spots_are_two_regions_the_hotter_first() -> None:
    heat = np.maximum(0.8 * a_heat(row=12, column=3), a_heat(row=3, column=12))

    first, second = hot_regions(heat, 512, 512)

    assert first.peak > second.peak
    assert first.top < second.top and first.left > second.left


def test_spots_that_touch_at_one_corner_are_two_regions() -> None:
    heat = np.zeros((128, 128), dtype=np.float32)
    heat[20:40, 20:40] = 1.0
    heat[40:60, 40:60] = 0.9

    first, second = hot_regions(heat, 128, 128)

    assert (first.left, first.top, first.width, first.height) == (20, 20, 20, 20)
    assert len(first.outline) == 4 and len(second.outline) == 4


def test_a_map_that_is_hot_everywhere_is_one_region_as_large_as_the_image() -> None:
    (region,) = hot_regions(np.ones((16, 16), dtype=np.float32), 100, 60)

    assert (region.left, region.top, region.width, region.height) == (0, 0, 60, 100)


@pytest.mark.parametrize("hole", [3, 9])
def test_a_hole_does_not_cut_the_outer_outline(hole: int) -> None:
    heat = np.zeros((128, 128), dtype=np.float32)
    heat[10:60, 10:60] = 1.0
    heat[30 : 30 + hole, 30 : 30 + hole] = 0.0

    (region,) = hot_regions(heat, 128, 128)

    assert sorted(region.outline) == [(10, 10), (10, 60), (60, 10), (60, 60)]
