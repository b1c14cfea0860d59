"""Check compressed pixel data before a decoder sees them: size, end and inner rules.

A decoder allocates what the codestream says, not what the DICOM header says, and most decoders give
garbage for damaged data without a word. What each format rules out costs little to look for. A
lossless JPEG scan alone is checked when it is decoded, since its samples tell its length.

Source: DICOM PS3.5 8.2.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from cds_service.adapters.jpeg_2000 import check_packets, coded_size
from cds_service.adapters.jpeg_lossless import accounts_for
from cds_service.adapters.jpeg_progressive import SOF_PROGRESSIVE, check_progressive
from cds_service.adapters.jpeg_scan import (
    SOF_LOSSLESS,
    Frame,
    check_end,
    check_scan,
    is_walked,
    read_frame,
)
from cds_service.adapters.rle import check_rle
from cds_service.errors import UnreadableInstance

# Spectral selection and full progression, Huffman coded (PS3.6 annex A).
RETIRED_JPEG = frozenset({UID("1.2.840.10008.1.2.4.53"), UID("1.2.840.10008.1.2.4.55")})
_EOC = b"\xff\xd9"
_PADDING = b"\0\xff"  # to an even length: zero (PS3.5 A.4), or ones, seen in the field


@dataclass(frozen=True, slots=True)
class Matrix:
    """What the DICOM header says about the pixel matrix."""

    rows: int
    columns: int
    samples: int
    bytes_per_sample: int


def damaged() -> UnreadableInstance:
    """Return the refusal of an image that cannot be trusted."""
    return UnreadableInstance("damaged-pixels", "its image data are damaged")


def check_codestream(transfer_syntax: str, frame: bytes, matrix: Matrix) -> Frame | None:
    """Raise UnreadableInstance "damaged-pixels", or ValueError, for what cannot be whole.

    Returns a lossless JPEG scan that is still to be held against its samples.
    """
    if transfer_syntax == RLELossless:
        check_rle(frame, matrix.samples * matrix.bytes_per_sample, matrix.rows * matrix.columns)
    elif transfer_syntax in JPEG2000TransferSyntaxes:
        _check_jpeg_2000(transfer_syntax, frame, matrix)
    elif transfer_syntax in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *RETIRED_JPEG):
        if not frame.rstrip(_PADDING).endswith(_EOC):
            raise damaged()
        header = read_frame(frame)
        _check_size(header.rows, header.columns, header.components, matrix)
        if header.kind == SOF_PROGRESSIVE:
            check_progressive(frame)
        elif is_walked(header):
            check_end(header)
            if header.kind == SOF_LOSSLESS:
                return header
            check_scan(header)
    return None


def check_samples(scan: Frame, decoded: NDArray[np.integer[Any]]) -> None:
    """Raise ValueError unless the lossless scan ends with the last of its samples."""
    if not accounts_for(scan, decoded):
        check_scan(scan)


def _check_size(rows: int, columns: int, samples: int, matrix: Matrix) -> None:
    if (rows, columns, samples) != (matrix.rows, matrix.columns, matrix.samples):
        raise damaged()


def _check_jpeg_2000(transfer_syntax: str, frame: bytes, matrix: Matrix) -> None:
    size = coded_size(frame)
    _check_size(size.rows, size.columns, size.components, matrix)
    check_packets(frame, is_arithmetic=transfer_syntax in (JPEG2000Lossless, JPEG2000))
