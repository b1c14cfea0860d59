"""Check compressed pixel data before a decoder sees them: size, end and inner rules.

A decoder allocates what the codestream says, not what the DICOM header says, and most decoders give
garbage for damaged data without a word. What each format rules out costs little to look for.

Source: DICOM PS3.5 8.2, annex G (RLE).
"""

from dataclasses import dataclass
from itertools import pairwise

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
from cds_service.adapters.jpeg_progressive import SOF_PROGRESSIVE, check_progressive
from cds_service.adapters.jpeg_scan import check_scan, read_frame
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


def check_codestream(transfer_syntax: str, frame: bytes, matrix: Matrix) -> None:
    """Raise UnreadableInstance "damaged-pixels", or ValueError, for what cannot be whole."""
    if transfer_syntax == RLELossless:
        _check_rle(frame, matrix)
    elif transfer_syntax in JPEG2000TransferSyntaxes:
        _check_jpeg_2000(transfer_syntax, frame, matrix)
    elif transfer_syntax in (*JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes, *RETIRED_JPEG):
        if not frame.rstrip(_PADDING).endswith(_EOC):
            raise damaged()
        header = read_frame(frame)
        _check_size(header.rows, header.columns, header.components, matrix)
        if header.kind == SOF_PROGRESSIVE:
            check_progressive(frame)
        else:
            check_scan(header)


def _check_size(rows: int, columns: int, samples: int, matrix: Matrix) -> None:
    if (rows, columns, samples) != (matrix.rows, matrix.columns, matrix.samples):
        raise damaged()


def _check_rle(frame: bytes, matrix: Matrix) -> None:
    """Unpack the lengths of every segment (annex G.3): each must give one byte of each pixel.

    The decoder ends the process on a segment that does not (pylibjpeg-rle 2.2.0, measured).
    """
    words = [int.from_bytes(frame[at : at + 4], "little") for at in range(0, 64, 4)]
    count, offsets = words[0], words[1:]
    if len(frame) < 64 or count != matrix.samples * matrix.bytes_per_sample or count > 15:
        raise damaged()
    bounds = [*offsets[:count], len(frame)]
    for start, end in pairwise(bounds):
        if not 64 <= start <= end <= len(frame):
            raise damaged()
        _check_rle_segment(frame[start:end], matrix.rows * matrix.columns)


def _check_rle_segment(segment: bytes, pixels: int) -> None:
    at, end = 0, len(segment)
    while pixels > 0 and at < end:
        control = segment[at]
        if control < 128:
            at += control + 2
            pixels -= control + 1
        elif control > 128:
            at += 2
            pixels -= 257 - control
        else:
            at += 1
    if pixels != 0 or at > end or segment[at:].strip(b"\0"):
        raise damaged()


def _check_jpeg_2000(transfer_syntax: str, frame: bytes, matrix: Matrix) -> None:
    size = coded_size(frame)
    _check_size(size.rows, size.columns, size.components, matrix)
    check_packets(frame, is_arithmetic=transfer_syntax in (JPEG2000Lossless, JPEG2000))
