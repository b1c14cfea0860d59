"""Every way in which DICOM stores grey: bits, sign, palettes, colour models, curves, decoders.

Source: DICOM PS3.3 C.7.6.3 (Image Pixel), C.7.9 (palette), C.11.1, C.11.2; PS3.5 8.1.1.
"""

from typing import Any

import numpy as np
import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from cds_service.adapters.decoders import Decoders, usable
from cds_service.adapters.pixels import DicomReader, Radiograph
from cds_service.errors import StudyUnusable
from tests.unit.imaging.dicom import a_film, a_picture, as_file

READER = DicomReader()
PICTURE = a_picture()
EIGHT_BITS = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}


def read(film: Dataset, reader: DicomReader = READER) -> Radiograph:
    return reader.pixels(as_file(film))


def refusal(film: Dataset) -> str:
    with pytest.raises(StudyUnusable) as refused:
        read(film)
    return refused.value.code


@pytest.mark.parametrize("bits", [7, 10, 12, 13, 15, 16])
@pytest.mark.parametrize("sign", [0, 1])
def test_every_depth_is_read_signed_and_unsigned(bits: int, sign: int) -> None:
    scaled = (PICTURE.astype(np.int64) * ((1 << bits) - 1)) // 4095
    values = scaled - (1 << bits - 1 if sign else 0)
    stored = (values & (1 << bits) - 1).astype(np.uint16)  # what lies above the sign stays zero
    film = a_film(stored, BitsStored=bits, HighBit=bits - 1, PixelRepresentation=sign)

    assert np.array_equal(read(film).values, values)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
@pytest.mark.parametrize("bits", [10, 12, 15])
def test_every_depth_survives_lossless_compression(syntax: Any, bits: int) -> None:
    stored = (PICTURE >> 12 - bits if bits < 12 else PICTURE << bits - 12).astype(np.uint16)
    film = a_film(stored, BitsStored=bits, HighBit=bits - 1)
    film.compress(syntax, generate_instance_uid=False)

    assert np.array_equal(read(film).values, stored)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_decoders_of_one_lossless_syntax_give_one_image(syntax: Any) -> None:
    film = a_film()
    film.compress(syntax, generate_instance_uid=False)

    for name in usable(syntax):
        image = read(film, DicomReader(Decoders({syntax: name})))
        assert np.array_equal(image.values, PICTURE) and image.notes == (f"decoded-by-{name}",)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
def test_signed_values_survive_every_decoder(syntax: Any) -> None:
    signed = PICTURE.astype(np.int16) - 2048
    film = a_film(signed.view(np.uint16), PixelRepresentation=1)
    film.compress(syntax, generate_instance_uid=False)

    for name in usable(syntax):
        assert np.array_equal(read(film, DicomReader(Decoders({syntax: name}))).values, signed)


def a_palette(red: Any, green: Any, blue: Any, **changes: Any) -> Dataset:
    values: dict[str, Any] = {
        "PhotometricInterpretation": "PALETTE COLOR",
        "PixelData": (PICTURE // 16).astype(np.uint8).tobytes(),
        **EIGHT_BITS,
    }
    for name, table in (("Red", red), ("Green", green), ("Blue", blue)):
        wide = table.dtype == np.uint16
        values[f"{name}PaletteColorLookupTableDescriptor"] = [len(table), 0, 16 if wide else 8]
        values[f"{name}PaletteColorLookupTableData"] = table.tobytes()
    return a_film(PICTURE, **(values | changes))


RAMP = np.arange(256, dtype=np.uint8)


@pytest.mark.parametrize("ramp", [RAMP, RAMP[::-1].copy(), RAMP.astype(np.uint16) * 257])
def test_a_palette_of_greys_is_grey(ramp: Any) -> None:
    values = read(a_palette(ramp, ramp, ramp)).values

    assert np.array_equal(values, ramp[PICTURE // 16])


def test_a_colour_that_no_pixel_has_does_not_make_a_palette_coloured() -> None:
    green = RAMP.copy()
    green[0] = 255  # the darkest pixel of the picture is above it

    assert read(a_palette(RAMP, green, RAMP)).rows == PICTURE.shape[0]


@pytest.mark.parametrize(
    ("film", "code"),
    [
        (a_palette(RAMP, RAMP[::-1].copy(), RAMP), "colour"),
        (a_palette(RAMP, RAMP, RAMP[:100]), "damaged-pixels"),
        (a_palette(RAMP, RAMP, RAMP, RedPaletteColorLookupTableData=b"12"), "damaged-pixels"),
        (a_palette(RAMP, RAMP, RAMP, RedPaletteColorLookupTableData=None), "colour"),
        (a_palette(RAMP, RAMP, RAMP, RedPaletteColorLookupTableDescriptor=None), "colour"),
    ],
    ids=["coloured", "shorter", "truncated", "no table", "no descriptor"],
)
def test_a_palette_that_is_not_grey_or_not_whole_is_refused(film: Dataset, code: str) -> None:
    assert refusal(film) == code


@pytest.mark.parametrize("photometric", ["YBR_FULL", "RGB"])
def test_grey_stored_in_a_colour_model_is_read(photometric: str) -> None:
    grey = (PICTURE // 16).astype(np.uint8)
    neutral = np.full_like(grey, 128)
    others = (neutral, neutral) if photometric == "YBR_FULL" else (grey, grey)
    film = a_film(
        PICTURE,
        PhotometricInterpretation=photometric,
        SamplesPerPixel=3,
        PlanarConfiguration=1,
        PixelData=b"".join(plane.tobytes() for plane in (grey, *others)),
        **EIGHT_BITS,
    )

    assert np.abs(read(film).values - grey).max() <= 1


def test_a_sigmoid_bends_the_grey_scale_and_a_linear_window_does_not() -> None:
    window = {"WindowCenter": 2000, "WindowWidth": 800}

    bent = read(a_film(**window, VOILUTFunction="SIGMOID")).values
    straight = read(a_film(**window, VOILUTFunction="LINEAR_EXACT")).values

    expected = 4095 / (1 + np.exp(-4 * (PICTURE.astype(np.float64) - 2000) / 800))
    assert np.allclose(bent, expected, atol=0.01) and np.array_equal(straight, PICTURE)


def test_a_modality_table_is_applied_before_a_voi_table() -> None:
    def table(levels: list[int]) -> Sequence:
        item = Dataset()
        item.LUTDescriptor, item.LUTData = [4096, 0, 16], levels
        item["LUTData"].VR = "US"
        return Sequence([item])

    halved, raised = [value // 2 for value in range(4096)], [9 * value for value in range(4096)]
    film = a_film(ModalityLUTSequence=table(halved), VOILUTSequence=table(raised))

    assert np.array_equal(read(film).values, 9 * (PICTURE // 2).astype(np.int64))


def test_an_inversion_is_recorded() -> None:
    dark = a_film((4095 - PICTURE).astype(np.uint16), PhotometricInterpretation="MONOCHROME1")

    assert read(dark).notes == ("inverted",) and read(a_film()).notes == ()


@pytest.mark.parametrize("bits", [1, 64])
def test_bits_that_no_radiograph_has_are_refused(bits: int) -> None:
    film = a_film(BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1)

    assert refusal(film) == "pixel-format"
