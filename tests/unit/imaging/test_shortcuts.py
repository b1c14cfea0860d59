"""The shortcuts on the way from bytes to grey values: each gives what the long way gives."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.pixels.processing import apply_modality_lut

from cds_service.adapters.pixels import DicomReader
from cds_service.errors import UnreadableInstance
from tests.unit.imaging.dicom import a_film, a_picture, as_file


def grey_values(**changes: Any) -> np.ndarray:
    return DicomReader().pixels(as_file(a_film(**changes))).values


@settings(max_examples=40, deadline=None)
@given(
    value=st.integers(0, 4095),
    others=st.lists(st.tuples(st.integers(0, 7679), st.integers(0, 4095)), max_size=38),
)
def test_an_image_of_one_value_is_blank_whatever_a_few_pixels_say(
    value: int, others: list[tuple[int, int]]
) -> None:
    pixels = np.full((96, 80), value, np.uint16)
    for at, other in others:  # 38 of 7680: less than 0.5 %
        pixels.flat[at] = other

    with pytest.raises(UnreadableInstance) as refusal:
        DicomReader().pixels(as_file(a_film(pixels)))

    assert refusal.value.code == "blank"


def test_a_flat_image_with_something_in_it_is_not_blank() -> None:
    pixels = np.full((96, 80), 7, np.uint16)
    pixels[40:44, 20:60] = 4000  # 2 %

    assert DicomReader().pixels(as_file(a_film(pixels))).values.max() == 4000


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_a_rescale_that_changes_nothing_changes_nothing(photometric: str) -> None:
    kind = {"PhotometricInterpretation": photometric}

    with_rescale = grey_values(RescaleSlope=1, RescaleIntercept=0, **kind)

    assert with_rescale.dtype == np.float32
    assert np.array_equal(with_rescale, grey_values(**kind))


@pytest.mark.parametrize("rescale", [(1, -1024), (2, 0), (0.1, 3.7), (-1, 4095)])
def test_a_rescale_that_changes_something_is_applied(rescale: tuple[float, float]) -> None:
    film = a_film(RescaleSlope=rescale[0], RescaleIntercept=rescale[1])

    values = grey_values(RescaleSlope=rescale[0], RescaleIntercept=rescale[1])

    expected = np.asarray(apply_modality_lut(a_picture(), film), np.float32)
    assert np.array_equal(values, expected)


def test_the_bytes_of_an_instance_stay_as_they_are() -> None:
    instance = as_file(a_film(PhotometricInterpretation="MONOCHROME1"))
    before = bytes(bytearray(instance))

    image = DicomReader().pixels(instance)
    image.values[:] = 0.0  # its own memory, not a view of the bytes

    assert instance == before
