"""Every real DICOM file at hand, by its manifest: read, or refused with its own reason."""

import csv
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from cds_service.adapters.pixels import DicomReader
from cds_service.errors import StudyUnusable

READER = DicomReader()
CT = "CTImage.dcm_"
TWELVE_BITS_AND_RETIRED = {
    "RG2_JPLY",
    "RG2_JPLY_fixed",
    "CT0012.fragmented_no_bot_jpeg_baseline.51",
    CT + "JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51",
    CT + "JPEGProcess6_8TransferSyntax_1.2.840.10008.1.2.4.53",
    CT + "JPEGProcess10_12TransferSyntax_1.2.840.10008.1.2.4.55",
}
REFUSED = {
    "966": "damaged-pixels",  # a marker of the codestream is invalid
    "emri_small_jpeg_2k_lossless_too_short": "damaged-pixels",
    "JPEGLossless_1s_1f_i_16_16_bad": "damaged-pixels",
    # So lossy that it leaves the extremes in its header by a tenth of their range.
    "JPEG2000": "damaged-pixels",
    CT + "DeflatedExplicitVRLittleEndianTransferSyntax_1.2.840.10008.1.2.1.99": "deflated",
    "liver_deflate": "deflated",
    "liver": "pixel-format",  # one bit
    "parametric_map_float": "no-image",  # Float Pixel Data
    "no-pixel-data": "no-image",
    **dict.fromkeys(
        (
            *("US1_J2KI", "US1_J2KR", "US-YBR_FULL_422-EVRLE", "OBXXXX1A_rle_2frame"),
            *("gdcm-US-ALOKA-16", "color-pl", "SC_rgb_16bit_2frame", "SC_ybr_full_uncompressed"),
            *("SC_rgb_dcmtk_+eb+cy+s2", "SC_rgb_small_odd_jpeg"),
            *("HTJ2KLossless_08_RGB", "HTJ2K_08_RGB"),
        ),
        "colour",
    ),
}


def rows(folder: Path) -> Iterator[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as stream:
        yield from csv.DictReader(stream)


def outcome(folder: Path, file: str) -> str:
    try:
        image = READER.pixels((folder / file).read_bytes())
    except StudyUnusable as refused:
        return refused.code
    return f"{image.rows} x {image.columns}"


def test_every_file_of_the_manifest_is_read_or_refused_with_its_reason(shared_data: Path) -> None:
    folder = shared_data / "dicom"
    has_codecs = find_spec("imagecodecs") is not None
    expected, found = {}, {}

    for row in rows(folder):
        name = row["file"].removesuffix(".dcm")
        needs_codecs = name in TWELVE_BITS_AND_RETIRED and not has_codecs
        size = f"{row['rows']} x {row['columns']}"
        expected[name] = "no-decoder" if needs_codecs else REFUSED.get(name, size)
        found[name] = outcome(folder, row["file"])

    assert found == expected
    assert REFUSED.keys() <= found.keys() and len(found) > 50


def test_a_scan_that_names_no_band_of_the_spectrum_is_read_as_its_mended_copy(
    shared_data: Path,
) -> None:
    pytest.importorskip("imagecodecs", reason="the extra [codecs] is not installed")
    broken, mended = (
        READER.pixels((shared_data / "dicom" / f"{name}.dcm").read_bytes()).values
        for name in ("RG2_JPLY", "RG2_JPLY_fixed")
    )

    assert np.array_equal(broken, mended)
