"""Objects with several frames: each frame is read alone, with what the header says about it.

Source: DICOM PS3.3 C.7.6.6 (Multi-frame), C.7.6.16 (functional groups); PS3.5 A.4.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedXAImageStorage, ExplicitVRBigEndian, RLELossless

from cds_service.adapters.decode import MAX_FRAMES
from cds_service.adapters.pixels import DicomReader
from cds_service.errors import StudyUnusable
from tests.unit.imaging.dicom import a_film, a_picture, as_file

READER = DicomReader()
FRAMES = [np.rot90(a_picture(80, 80), turns).copy() for turns in range(3)]


def an_enhanced_film(frames: list[Any] = FRAMES, **changes: Any) -> Dataset:
    values: dict[str, Any] = {
        "SOPClassUID": EnhancedXAImageStorage,
        "NumberOfFrames": len(frames),
        "PixelData": b"".join(frame.tobytes() for frame in frames),
    }
    return a_film(frames[0], **(values | changes))


def compressed_frames(film: Dataset, *, table: str) -> Dataset:
    codestreams = []
    for picture in FRAMES:
        single = a_film(picture)
        single.compress(RLELossless, generate_instance_uid=False)
        codestreams.append(next(generate_frames(single.PixelData, number_of_frames=1)))
    if table == "extended":
        data, film.ExtendedOffsetTable, film.ExtendedOffsetTableLengths = encapsulate_extended(
            codestreams
        )
    else:
        data = encapsulate(codestreams, has_bot=table == "basic")
    film.PixelData = data
    film["PixelData"].is_undefined_length = True
    film.file_meta.TransferSyntaxUID = RLELossless
    return film


def refusal(data: bytes, frame: int = 1) -> str:
    with pytest.raises(StudyUnusable) as refused:
        READER.pixels(data, frame)
    return refused.value.code


@pytest.mark.parametrize("number", [1, 2, 3])
def test_each_frame_of_native_pixel_data_is_read_alone(number: int) -> None:
    image = READER.pixels(as_file(an_enhanced_film()), number)

    assert np.array_equal(image.values, FRAMES[number - 1].astype(np.float32))


@pytest.mark.parametrize("table", ["none", "basic", "extended"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_each_compressed_frame_is_read_alone(number: int, table: str) -> None:
    film = compressed_frames(an_enhanced_film(), table=table)

    image = READER.pixels(as_file(film), number)

    assert np.array_equal(image.values, FRAMES[number - 1].astype(np.float32))


def test_an_offset_table_that_leads_astray_does_not_lead_to_an_unchecked_frame() -> None:
    film = compressed_frames(an_enhanced_film(), table="extended")
    film.ExtendedOffsetTable = (1 << 40).to_bytes(8, "little") * 3

    assert refusal(as_file(film), 2) == "damaged-pixels"


@pytest.mark.parametrize("number", [0, -1, 4])
def test_a_frame_that_is_not_there_is_refused(number: int) -> None:
    assert refusal(as_file(an_enhanced_film()), number) == "no-such-frame"


@pytest.mark.parametrize(
    ("lie", "code"),
    [
        ({"NumberOfFrames": 4}, "damaged-pixels"),
        ({"NumberOfFrames": 2}, "damaged-pixels"),
        ({"NumberOfFrames": 6, "Rows": 40}, ""),  # no header contradicts it
        ({"NumberOfFrames": MAX_FRAMES + 1}, "too-many-frames"),
        ({"NumberOfFrames": -3}, "damaged-pixels"),
    ],
    ids=str,
)
def test_a_number_of_frames_that_does_not_fit_is_refused(lie: dict[str, Any], code: str) -> None:
    film = an_enhanced_film(**lie)

    if code:
        assert refusal(as_file(film)) == code
    else:
        assert READER.pixels(as_file(film)).rows == 40


def a_group(**attributes: Any) -> Sequence:
    item = Dataset()
    for keyword, value in attributes.items():
        setattr(item, keyword, value)
    return Sequence([item])


def rescaled(slope: float) -> Dataset:
    item = Dataset()
    item.PixelValueTransformationSequence = a_group(
        RescaleSlope=slope, RescaleIntercept=0, RescaleType="US"
    )
    return item


def test_a_frame_has_its_own_rescale_before_the_shared_one() -> None:
    film = an_enhanced_film(
        SharedFunctionalGroupsSequence=Sequence([rescaled(2)]),
        PerFrameFunctionalGroupsSequence=Sequence([Dataset(), rescaled(3), Dataset()]),
    )

    first, second = (READER.pixels(as_file(film), number).values for number in (1, 2))

    assert np.array_equal(first, FRAMES[0] * np.float32(2))
    assert np.array_equal(second, FRAMES[1] * np.float32(3))


def test_the_spacing_of_an_enhanced_object_is_read_from_its_groups() -> None:
    shared = Dataset()
    shared.PixelMeasuresSequence = a_group(PixelSpacing=[0.2, 0.3])

    header = READER.header(
        as_file(an_enhanced_film(SharedFunctionalGroupsSequence=Sequence([shared])))
    )

    assert header.spacing_mm == (0.2, 0.3) and header.frames == 3


def test_frames_of_big_endian_bytes_of_odd_length_are_read() -> None:
    pictures = [(a_picture(81, 81) // 16 + add).astype(np.uint8) for add in (0, 5, 9)]
    words = b"".join(picture.tobytes() for picture in pictures) + b"\0"
    swapped = np.frombuffer(words, np.uint16).byteswap().tobytes()
    bits = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    film = an_enhanced_film(pictures, **bits, PixelData=swapped)
    film["PixelData"].VR = "OW"
    film.file_meta.TransferSyntaxUID = ExplicitVRBigEndian

    for number, picture in enumerate(pictures, 1):
        assert np.array_equal(READER.pixels(as_file(film), number).values, picture)


def test_the_frames_of_a_real_enhanced_mr_are_read(shared_data: Path) -> None:
    data = (shared_data / "dicom" / "emri_small_jpeg_ls_lossless.dcm").read_bytes()
    expected = dcmread(shared_data / "dicom" / "emri_small_jpeg_ls_lossless.dcm").pixel_array

    read = [READER.pixels(data, number).values for number in range(1, 11)]

    assert np.array_equal(np.stack(read), expected)
