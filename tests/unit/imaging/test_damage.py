"""200 damaged bytes in each codec: the image is refused, or what the model reads is the same.

A codestream has no check sum. JPEG-LS, RLE and Huffman-coded JPEG give damage away by where they
end, nearly always; JPEG 2000 does not, and there the harm to the model's input is what is bounded.
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.encaps import generate_frames
from pydicom.uid import RLELossless

from cds_service.adapters.pixels import DicomReader, Radiograph
from cds_service.errors import StudyUnusable
from models.prepare import prepare
from tests.unit.imaging.dicom import a_film, as_file, compressed

READER = DicomReader()
CT = "CTImage.dcm_"
HUFFMAN = (
    CT + "JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50",
    CT + "JPEGProcess14TransferSyntax_1.2.840.10008.1.2.4.57",
    CT + "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70",
)
OTHERS = (
    CT + "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80",
    CT + "RLELosslessTransferSyntax_1.2.840.10008.1.2.5",
)
EXTRA = (
    CT + "JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51",
    CT + "JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53",
    CT + "JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55",
)
JPEG_2000 = (CT + "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90", "RG1_J2KI")
TRIALS = 12


def zeroed(rng: np.random.Generator) -> bytes:
    return bytes(200)


def random(rng: np.random.Generator) -> bytes:
    return rng.bytes(200)


def outcomes(film: Dataset, damage: Callable[[np.random.Generator], bytes]) -> list[Radiograph]:
    """Damage the frame at many places, always the same; return the images that were read."""
    frame = next(generate_frames(film.PixelData, number_of_frames=1))
    rng = np.random.default_rng(3)
    read = []
    for at in rng.integers(len(frame) // 20, len(frame) - len(frame) // 20, TRIALS):
        broken = bytearray(frame)
        broken[at : at + 200] = damage(rng)
        try:
            data = as_file(compressed(film, film.file_meta.TransferSyntaxUID, bytes(broken)))
            read.append(READER.pixels(data))
        except StudyUnusable as refused:
            assert refused.code == "damaged-pixels"
    return read


@pytest.fixture(params=[zeroed, random])
def damage(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.mark.parametrize("name", OTHERS)
def test_damage_in_jpeg_ls_and_rle_is_always_refused(
    shared_data: Path, name: str, damage: Any
) -> None:
    assert outcomes(dcmread(shared_data / "dicom" / f"{name}.dcm"), damage) == []


@pytest.mark.parametrize("name", HUFFMAN)
def test_damage_in_a_huffman_scan_is_nearly_always_refused(
    shared_data: Path, name: str, damage: Any
) -> None:
    assert len(outcomes(dcmread(shared_data / "dicom" / f"{name}.dcm"), damage)) <= TRIALS // 10


@pytest.mark.slow
@pytest.mark.parametrize("name", JPEG_2000)
def test_damage_in_jpeg_2000_is_refused_or_hardly_changes_what_the_model_reads(
    shared_data: Path, name: str, damage: Any
) -> None:
    film = dcmread(shared_data / "dicom" / f"{name}.dcm")
    whole = prepare(READER.pixels((shared_data / "dicom" / f"{name}.dcm").read_bytes()).values, 128)

    for image in outcomes(film, damage):
        change = np.abs(prepare(image.values, 128) - whole)
        assert change.mean() < 0.02  # standard deviations of the image


def test_rle_of_our_own_film_is_read_and_its_damage_refused() -> None:
    film = a_film()
    film.compress(RLELossless, generate_instance_uid=False)
    assert np.array_equal(
        READER.pixels(as_file(film)).values, READER.pixels(as_file(a_film())).values
    )

    assert outcomes(film, zeroed) == []


def test_a_codestream_of_another_size_than_the_header_says_is_refused(shared_data: Path) -> None:
    for name in (*HUFFMAN, *OTHERS, *JPEG_2000[:1]):
        film = dcmread(BytesIO((shared_data / "dicom" / f"{name}.dcm").read_bytes()))
        film.Rows = film.Rows // 2

        with pytest.raises(StudyUnusable) as refused:
            READER.pixels(as_file(film))

        assert refused.value.code == "damaged-pixels"


@pytest.mark.parametrize("name", EXTRA)
def test_damage_in_twelve_bit_jpeg_is_nearly_always_refused(
    shared_data: Path, name: str, damage: Any
) -> None:
    pytest.importorskip("imagecodecs", reason="the extra [codecs] is not installed")

    assert len(outcomes(dcmread(shared_data / "dicom" / f"{name}.dcm"), damage)) <= TRIALS // 10
