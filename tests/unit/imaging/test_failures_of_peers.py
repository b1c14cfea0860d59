"""What other pipelines were measured to accept in silence is refused here, or set right.

The numbers are those of the measurement: a chest film of 2500 x 2048 pixels in 12 bits.

Source: DICOM PS3.3 C.7.6.3.1.2, C.7.6.6; PS3.5 8.1.1; MONAI Deploy App SDK issue 282.
"""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.encaps import generate_frames
from pydicom.uid import UID, JPEG2000Lossless, JPEGLSLossless, RLELossless

from cds_service.adapters.pixels import DicomReader
from cds_service.errors import StudyUnusable
from tests.unit.imaging.dicom import a_film, a_picture, as_file, compressed

READER = DicomReader()


@cache
def a_grainy_picture(rows: int = 2500, columns: int = 2048) -> NDArray[np.uint16]:
    grain = np.random.default_rng(11).normal(0, 20, (rows, columns))
    return np.clip(a_picture(rows, columns) + grain, 0, 4095).astype(np.uint16)


def refusal(film: Dataset) -> str:
    with pytest.raises(StudyUnusable) as refused:
        READER.pixels(as_file(film))
    return refused.value.code


@pytest.mark.parametrize("shape", [None, "INVERSE"])
def test_monochrome1_is_inverted_with_and_without_a_presentation_shape(shape: str | None) -> None:
    picture = a_grainy_picture()
    film = a_film(picture, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape=shape)

    image = READER.pixels(as_file(film))

    plain = READER.pixels(as_file(a_film(picture))).values
    assert np.array_equal(image.values, plain.min() + plain.max() - plain)
    assert "inverted" in image.notes


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless], ids=str)
@pytest.mark.parametrize("place", [0.2, 0.5, 0.8])
def test_200_bytes_that_became_zero_are_not_accepted(syntax: UID, place: float) -> None:
    film = a_film(a_grainy_picture(512, 512))
    film.compress(syntax, generate_instance_uid=False)
    frame = next(generate_frames(film.PixelData, number_of_frames=1))
    at = int(place * len(frame))

    broken = frame[:at] + bytes(200) + frame[at + 200 :]

    assert refusal(compressed(film, syntax, broken)) == "damaged-pixels"


def test_rle_that_makes_its_decoder_panic_is_a_refusal_and_no_dead_worker() -> None:
    film = a_film(a_grainy_picture(512, 512))
    film.compress(RLELossless, generate_instance_uid=False)
    frame = next(generate_frames(film.PixelData, number_of_frames=1))

    assert refusal(compressed(film, RLELossless, frame[: len(frame) // 2])) == "damaged-pixels"


def test_rows_halved_are_not_two_frames() -> None:
    assert refusal(a_film(a_grainy_picture(), Rows=1250)) == "damaged-pixels"


def test_eight_bits_stored_on_twelve_bit_data_are_not_believed() -> None:
    assert refusal(a_film(a_grainy_picture(), BitsStored=8, HighBit=7)) == "damaged-pixels"


def test_four_frames_of_625_rows_are_not_four_slabs_of_one_film() -> None:
    assert refusal(a_film(a_grainy_picture(), NumberOfFrames=4, Rows=625)) == "damaged-pixels"
