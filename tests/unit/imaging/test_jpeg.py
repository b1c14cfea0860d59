"""JPEG made in memory in the ways that encoders choose; none of them is taken for damage."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEGBaseline8Bit

from cds_service.adapters.pixels import DicomReader
from cds_service.errors import StudyUnusable
from tests.unit.imaging.dicom import a_film, a_picture, as_file, compressed

GREY = Image.fromarray((a_picture(101, 83) // 16).astype(np.uint8))
EIGHT_BITS = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}


def coded(image: Image.Image, **options: Any) -> bytes:
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=95, **options)
    return buffer.getvalue()


def film(codestream: bytes, **changes: Any) -> bytes:
    blank = np.zeros((101, 83), np.uint16)
    even = codestream + b"\0" * (len(codestream) % 2)
    return as_file(compressed(a_film(blank, **EIGHT_BITS, **changes), JPEGBaseline8Bit, even))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimize": True},
        {"restart_marker_blocks": 7},
        {"progressive": True},
        {"progressive": True, "restart_marker_blocks": 7},
    ],
    ids=str,
)
def test_each_way_to_code_a_film_is_read(options: dict[str, Any]) -> None:
    codestream = coded(GREY, **options)

    values = DicomReader().pixels(film(codestream)).values

    assert np.array_equal(values, np.asarray(Image.open(BytesIO(codestream))))


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL", "YBR_FULL_422"])
def test_grey_coded_as_colour_is_read(photometric: str) -> None:
    codestream = coded(GREY.convert("RGB"))
    colour = {"SamplesPerPixel": 3, "PlanarConfiguration": 0}

    data = film(codestream, PhotometricInterpretation=photometric, **colour)

    assert np.abs(DicomReader().pixels(data).values - np.asarray(GREY, np.float32)).max() < 8


@pytest.mark.parametrize(
    "options", [{}, {"restart_marker_blocks": 7}, {"progressive": True}], ids=str
)
def test_a_scan_that_lost_bytes_is_refused(options: dict[str, Any]) -> None:
    codestream = coded(GREY, **options)
    middle = len(codestream) * 2 // 3

    with pytest.raises(StudyUnusable) as refused:
        DicomReader().pixels(film(codestream[:middle] + codestream[middle + 100 :]))

    assert refused.value.code == "damaged-pixels"


def test_a_hole_in_a_scan_is_refused_wherever_it_is() -> None:
    codestream = coded(GREY)
    begin = codestream.index(b"\xff\xda") + 10

    for at in range(begin, len(codestream) - 70, 97):
        hole = codestream[:at] + bytes(64) + codestream[at + 64 :]
        with pytest.raises(StudyUnusable):
            DicomReader().pixels(film(hole))


def test_a_film_whose_black_is_coded_in_zeros_has_no_hole() -> None:
    scene = np.zeros((800, 83), np.uint8)
    scene[-101:] = GREY
    codestream = coded(Image.fromarray(scene), optimize=True)
    assert bytes(48) in codestream[codestream.index(b"\xff\xda") :]

    assert DicomReader().pixels(film(codestream, Rows=800)).values[:600].max() == 0


def test_a_restart_marker_where_none_belongs_is_refused() -> None:
    codestream = coded(GREY)
    middle = len(codestream) * 2 // 3

    with pytest.raises(StudyUnusable):
        DicomReader().pixels(film(codestream[:middle] + b"\xff\xd3" + codestream[middle + 2 :]))
