"""What a compressed frame decoded to is kept: a digest that every honest decoder agrees on."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import (
    UID,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from cds_service.adapters.decoders import Decoders, usable, version_of
from cds_service.adapters.ledger.encoding import analysis_document, analysis_from
from cds_service.adapters.pixels import DicomReader
from cds_service.domain.finding import PixelDigest
from tests.builders import an_analysis
from tests.unit.imaging.dicom import a_film, as_file, compressed

LOSSLESS: dict[UID, str] = {
    JPEG2000Lossless: "JPEG2000LosslessOnlyTransferSyntax_1.2.840.10008.1.2.4.90",
    JPEGLSLossless: "JPEGLSLosslessTransferSyntax_1.2.840.10008.1.2.4.80",
    JPEGLosslessSV1: "JPEGProcess14SV1TransferSyntax_1.2.840.10008.1.2.4.70",
    RLELossless: "RLELosslessTransferSyntax_1.2.840.10008.1.2.5",
}


@pytest.mark.parametrize("syntax", LOSSLESS)
def test_every_decoder_of_a_lossless_frame_gives_one_digest(shared_data: Path, syntax: UID) -> None:
    data = (shared_data / "dicom" / f"CTImage.dcm_{LOSSLESS[syntax]}.dcm").read_bytes()
    readers = [DicomReader(Decoders({syntax: name})) for name in usable(syntax)]

    images = [reader.pixels(data) for reader in readers]

    assert len({image.sha256 for image in images}) == 1 and images[0].sha256
    assert {image.lossy_decoder for image in images} == {""}


def test_a_lossy_frame_is_held_against_the_same_decoder_only() -> None:
    picture, buffer = np.tile(np.arange(96, dtype=np.uint8), (80, 1)), BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=95)
    depth = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
    film = a_film(np.zeros((80, 96), np.uint16), **depth)
    data = as_file(compressed(film, JPEGBaseline8Bit, buffer.getvalue()))

    image = DicomReader(Decoders({JPEGBaseline8Bit: "gdcm"})).pixels(data)

    assert image.sha256 and image.lossy_decoder == f"gdcm {version_of('gdcm')}"


def test_a_native_frame_has_no_digest_of_its_own() -> None:
    assert DicomReader().pixels(as_file(a_film())).sha256 is None


def test_only_the_same_frame_by_the_same_decoder_contradicts() -> None:
    one = PixelDigest("i" * 64, 1, "a" * 64, "gdcm 3")

    assert one.contradicts(replace(one, sha256="b" * 64))
    assert not one.contradicts(one)
    changes: tuple[dict[str, Any], ...] = ({"instance": "j"}, {"frame": 2}, {"decoder": "gdcm 4"})
    for change in changes:
        assert not one.contradicts(replace(one, sha256="b" * 64, **change))


def test_the_ledger_keeps_digests_and_reads_results_that_have_none() -> None:
    analysis = an_analysis(pixel_digests=(PixelDigest("i" * 64, 1, "a" * 64),))
    document = analysis_document(analysis)

    assert analysis_from(document).pixel_digests == analysis.pixel_digests
    del document["pixel_digests"]
    assert analysis_from(document).pixel_digests == ()
