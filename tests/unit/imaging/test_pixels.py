"""Reading DICOM made in memory: polarity, look-up tables, lies and bombs.

Source: docs/reference/fault-matrix.md; DICOM PS3.3 C.7.6.3, C.11.
"""

import struct
import tracemalloc
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset, dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from cds_service.adapters.pixels import DicomReader
from cds_service.errors import StudyUnusable
from tests.unit.imaging.dicom import a_film, a_picture, as_file, compressed

READER = DicomReader()
PICTURE = a_picture()
NEGATIVE = (4095 - PICTURE).astype(np.uint16)


def read(film: Dataset) -> np.ndarray[Any, Any]:
    return READER.pixels(as_file(film)).values


def refusal(film: Dataset | bytes) -> str:
    data = film if isinstance(film, bytes) else as_file(film)
    with pytest.raises(StudyUnusable) as refused:
        READER.pixels(data)
    return refused.value.code


# --- polarity: MONAI Deploy 4.0.0 read the second of these three inverted -----------------------


@pytest.mark.parametrize(
    ("stored", "header"),
    [
        (PICTURE, {"PhotometricInterpretation": "MONOCHROME2"}),
        (NEGATIVE, {"PhotometricInterpretation": "MONOCHROME1"}),
        (
            NEGATIVE,
            {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
        ),
        (
            PICTURE,
            {"PhotometricInterpretation": "MONOCHROME2", "PresentationLUTShape": "IDENTITY"},
        ),
    ],
    ids=["MONOCHROME2", "MONOCHROME1", "MONOCHROME1 INVERSE", "MONOCHROME2 IDENTITY"],
)
def test_bright_is_bright_whatever_the_header_calls_it(stored: Any, header: dict[str, str]) -> None:
    values = read(a_film(stored, **header))

    shift = values - PICTURE.astype(np.float32)
    assert values.dtype == np.float32 and np.ptp(shift) == 0  # equal but for a constant


@pytest.mark.parametrize(
    ("stored", "photometric", "shape"),
    [(NEGATIVE, "MONOCHROME1", "IDENTITY"), (PICTURE, "MONOCHROME2", "INVERSE")],
)
def test_a_header_that_contradicts_itself_about_black_and_white_leaves_the_polarity_open(
    stored: Any, photometric: str, shape: str
) -> None:
    film = a_film(stored, PhotometricInterpretation=photometric, PresentationLUTShape=shape)

    image = READER.pixels(as_file(film))

    assert not image.is_polarity_known and image.negative.is_polarity_known
    assert np.ptp(image.values - PICTURE.astype(np.float32)) == 0  # the photometric reading
    assert np.ptp(image.negative.values + PICTURE.astype(np.float32)) == 0
    assert image.negative.values.min() == image.values.min()


def test_a_header_that_agrees_with_itself_settles_the_polarity() -> None:
    assert READER.pixels(as_file(a_film(PresentationLUTShape="IDENTITY"))).is_polarity_known


# --- look-up tables ----------------------------------------------------------------------------


def test_rescale_is_applied() -> None:
    values = read(a_film(RescaleSlope=2, RescaleIntercept=-1000))

    assert np.array_equal(values, PICTURE.astype(np.float32) * 2 - 1000)


def test_a_voi_table_is_applied_and_a_window_is_not() -> None:
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 12]
    table.LUTData = [4095 - value for value in range(4096)]
    table["LUTData"].VR = "US"

    assert np.array_equal(
        read(a_film(VOILUTSequence=Sequence([table]))), 4095 - PICTURE.astype(np.float32)
    )
    assert np.array_equal(read(a_film(WindowCenter=100, WindowWidth=10)), PICTURE)


def test_signed_values_keep_their_sign() -> None:
    signed = (PICTURE.astype(np.int16) - 2048).view(np.uint16)

    assert read(a_film(signed, PixelRepresentation=1)).min() < 0


# --- lies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ({"Rows": 48}, "damaged-pixels"),
        ({"Rows": 97}, "damaged-pixels"),
        ({"Rows": 0}, "damaged-pixels"),
        ({"Columns": 8000}, "damaged-pixels"),
        ({"Rows": 60000, "Columns": 60000}, "too-many-pixels"),
        ({"BitsStored": 8, "HighBit": 7}, "damaged-pixels"),
        ({"BitsStored": 17}, "damaged-pixels"),
        ({"NumberOfFrames": 4, "Rows": 24}, "damaged-pixels"),
        ({"SamplesPerPixel": 3}, "damaged-pixels"),
        ({"BitsStored": None}, "damaged-pixels"),
        ({"SmallestImagePixelValue": 2000, "LargestImagePixelValue": 4000}, "damaged-pixels"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "damaged-pixels"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "colour"),  # without a palette
        ({"PhotometricInterpretation": None}, "colour"),
        ({"PixelData": None}, "no-image"),
    ],
    ids=str,
)
def test_a_header_that_does_not_fit_its_pixels_is_refused(lie: dict[str, Any], code: str) -> None:
    assert refusal(a_film(**lie)) == code


def test_true_extremes_are_accepted() -> None:
    low, high = int(PICTURE.min()), int(PICTURE.max())

    assert read(a_film(SmallestImagePixelValue=low, LargestImagePixelValue=high)).max() == high


def test_a_blank_image_is_refused() -> None:
    assert refusal(a_film(np.full((96, 80), 7, np.uint16))) == "blank"


def test_noise_is_refused() -> None:
    noise = np.random.default_rng(1).integers(0, 4096, (96, 80), dtype=np.uint16)

    assert refusal(a_film(noise)) == "damaged-pixels"


@pytest.mark.parametrize(("difference", "code"), [(0, ""), (40, "colour")])
def test_colour_counts_as_grey_only_when_its_channels_are_equal(difference: int, code: str) -> None:
    grey = (PICTURE // 16).astype(np.uint8)
    colour = np.stack([grey, grey, grey // 2 + difference if difference else grey], axis=-1)
    film = a_film(
        PhotometricInterpretation="RGB",
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=colour.tobytes(),
    )

    if code:
        assert refusal(film) == code
    else:
        assert np.array_equal(read(film), grey)


# --- containers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "not-dicom"),
        (b"just a text file, longer than the preamble of a DICOM file" * 10, "not-dicom"),
        (bytes(1000), "not-dicom"),
        (bytes(128) + b"DICM", "damaged-pixels"),
    ],
)
def test_what_is_no_dicom_file_is_said_to_be_none(data: bytes, code: str) -> None:
    assert refusal(data) == code


def test_a_data_set_without_preamble_and_meta_is_read() -> None:
    film, buffer = a_film(), BytesIO()
    del film.file_meta
    dcmwrite(buffer, film, implicit_vr=True, little_endian=True)

    assert READER.header(buffer.getvalue()).view == "AP"
    assert READER.pixels(buffer.getvalue()).rows == 96


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(keep: float) -> None:
    data = as_file(a_film())

    assert refusal(data[: int(len(data) * keep)]) in {"damaged-pixels", "no-image"}


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless])
def test_a_truncated_compressed_file_is_refused(syntax: Any, keep: float) -> None:
    film = a_film()
    film.compress(syntax, generate_instance_uid=False)
    data = as_file(film)

    assert refusal(data[: int(len(data) * keep)]) in {"damaged-pixels", "no-image"}


def test_a_deflate_bomb_is_refused_before_it_goes_off() -> None:
    film, buffer = a_film(), BytesIO()
    film.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    dcmwrite(buffer, film, enforce_file_format=True)
    bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    data = buffer.getvalue()[:400] + bomb.compress(bytes(1 << 28)) + bomb.flush()

    tracemalloc.start()
    try:
        assert refusal(data) == "deflated"
        with pytest.raises(StudyUnusable):
            READER.header(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1 << 24  # bytes; inflated it is 1 << 28


def test_nesting_without_end_is_refused() -> None:
    opened = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    data = as_file(a_film(BodyPartExamined=None))
    start = data.index(b"\x08\x00\x16\x00UI")
    hostile = data[:start] + opened * 3000 + data[start:]

    with pytest.raises(StudyUnusable):
        READER.header(hostile)


def test_an_rle_frame_that_makes_the_decoder_panic_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One segment too short by far: pylibjpeg-rle panics past `except Exception` (measured).
    frame = struct.pack("<16I", 2, 64, 66, *[0] * 13) + b"\x01\x02\x03\x04"
    film = compressed(a_film(), RLELossless, frame)
    assert refusal(film) == "damaged-pixels"

    monkeypatch.setattr("cds_service.adapters.decode.check_codestream", lambda *_: None)
    assert refusal(film) == "damaged-pixels"


@given(st.integers(0, 8000), st.binary(min_size=1, max_size=64))
@settings(max_examples=150, deadline=None)
def test_whatever_is_overwritten_the_answer_is_an_image_or_a_refusal(
    at: int, damage: bytes
) -> None:
    data = bytearray(as_file(a_film()))
    at %= len(data)
    data[at : at + len(damage)] = damage

    try:
        READER.header(bytes(data))
        image = READER.pixels(bytes(data))
    except StudyUnusable as refused:
        assert refused.code and refused.text
    else:
        assert np.isfinite(image.values).all() and image.values.ndim == 2


# --- the header ----------------------------------------------------------------------------------


def test_the_header_says_what_the_guards_need() -> None:
    header = READER.header(as_file(a_film(PatientBirthDate="20220601", AccessionNumber="A1")))

    assert (header.modality, header.body_part, header.view) == ("DX", "CHEST", "AP")
    assert (header.patient_age_days, header.patient_id, header.patient_sex) == (1095, "MRN-1", "F")
    assert str(header.patient_birth_date) == "2022-06-01" and header.accession == "A1"
    assert (header.rows, header.columns, header.frames) == (96, 80, 1)


@pytest.mark.parametrize(("kind", "issuer"), [("ISO", "1.2.36.146"), ("DNS", ""), (None, "")])
def test_only_an_oid_names_who_gave_the_patient_id(kind: str | None, issuer: str) -> None:
    item = Dataset()
    item.UniversalEntityID = "1.2.36.146"
    if kind is not None:
        item.UniversalEntityIDType = kind

    film = a_film(IssuerOfPatientIDQualifiersSequence=Sequence([item]))

    assert READER.header(as_file(film)).patient_id_issuer == issuer


def code(value: str) -> Sequence:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "SCT", "x"
    return Sequence([item])


@pytest.mark.parametrize(
    ("coded", "expected"), [("51185008", "CHEST"), ("816094009", "CHEST"), ("29836001", "29836001")]
)
def test_a_coded_region_stands_in_for_a_silent_body_part(coded: str, expected: str) -> None:
    film = a_film(BodyPartExamined=None, AnatomicRegionSequence=code(coded))

    assert READER.header(as_file(film)).body_part == expected


@pytest.mark.parametrize(
    ("coded", "expected"), [("399348003", "AP"), ("272479007", "PA"), ("399173006", "LL")]
)
def test_a_coded_view_stands_in_for_a_silent_view_position(coded: str, expected: str) -> None:
    film = a_film(ViewPosition=None, ViewCodeSequence=code(coded))

    assert READER.header(as_file(film)).view == expected


def test_a_value_that_is_none_is_silence() -> None:
    data = as_file(a_film()).replace(b"003Y", b"OLD ").replace(b"20260102", b"2026XXYY")
    header = READER.header(data)

    assert header.patient_age_days is None and header.study_date is None
