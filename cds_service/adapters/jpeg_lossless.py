"""Tell from the decoded samples whether a lossless JPEG scan holds exactly them, without a walk.

A sample costs the bits of its difference from the one before it. So the samples say how long the
scan must be and where each code of the last row stands, in a fifteenth of the time of a walk. What
they do not account for is left to the walk.

This holds for a decoder that passes over bits that are no code: then all that follows stands
elsewhere. gdcm does (3.2.6, measured); imagecodecs takes them for a code (2026.3.6, measured).

Source: ISO/IEC 10918-1 H.1.2.1 (prediction), H.1.2.2 (Huffman coding of differences).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cds_service.adapters.jpeg_scan import SLACK_BITS, Frame, HuffmanTable, coded_parts

_LEFT, _NO_POINT_TRANSFORM = 1, 0
_STRIP = 32  # rows whose differences stay in the cache
_NO_CODE = 255  # bits: more than any difference takes

Differences = NDArray[np.uint16]


def accounts_for(frame: Frame, decoded: NDArray[np.integer[Any]]) -> bool:
    """Tell whether the samples, (rows, columns), take up the scan to its last bits.

    False is no damage: prediction from other neighbours than the left one, a point transform
    and restart markers are not looked at. Raises DamagedScan as `coded_parts` does.
    """
    is_plain = (frame.spectrum[0], frame.spectrum[2]) == (_LEFT, _NO_POINT_TRANSFORM)
    if not is_plain or frame.restart_interval or decoded.shape != (frame.rows, frame.columns):
        return False
    ((coded, _),) = coded_parts(frame, decoded.size)
    table = frame.table(frame.selectors >> 4, is_lossless=True)
    differences = _differences(decoded, frame.precision)
    lengths = _lengths(table)
    strips = range(0, frame.rows, _STRIP)
    bits = sum(int(lengths.take(differences[at : at + _STRIP]).sum()) for at in strips)
    if not 0 <= 8 * len(coded) - bits < SLACK_BITS:
        return False
    last = lengths[differences[-1]]
    ends = bits - int(last.sum()) + np.cumsum(last, dtype=np.int64)
    windows = _windows(coded, ends - last)
    are_codes = np.array_equal(table.advance[windows], last)
    return are_codes and np.array_equal(table.symbol[windows], _categories(differences[-1]))


def _differences(decoded: NDArray[np.integer[Any]], precision: int) -> Differences:
    """Subtract from each sample the one to its left, in the first column the one above."""
    samples = decoded.astype(np.uint16, copy=False) & np.uint16((1 << precision) - 1)
    differences = np.empty_like(samples)
    np.subtract(samples[:, 1:], samples[:, :-1], out=differences[:, 1:])
    np.subtract(samples[1:, 0], samples[:-1, 0], out=differences[1:, 0])
    differences[0, 0] = (int(samples[0, 0]) - (1 << precision - 1)) % 65536
    return differences


def _categories(differences: Differences) -> NDArray[np.int64]:
    """Return SSSS, how many bits each difference has (table H.2); 32768 has 16."""
    sizes = np.minimum(differences, np.uint16(0) - differences)
    categories: NDArray[np.int64] = np.searchsorted(1 << np.arange(16), sizes, side="right")
    return categories


def _lengths(table: HuffmanTable) -> NDArray[np.uint8]:
    """Return how many bits code each difference, (65536,)."""
    of_category = np.full(17, _NO_CODE, np.uint8)
    is_code = (table.advance > 0) & (table.symbol <= 16)
    of_category[table.symbol[is_code]] = table.advance[is_code]
    return of_category[_categories(np.arange(65536, dtype=np.uint16))]


def _windows(coded: bytes, bits: NDArray[np.int64]) -> NDArray[np.uint32]:
    """Return the 16 bits that begin at each of these bits."""
    data = np.frombuffer(coded + b"\xff\xff\xff", np.uint8)
    at = bits >> 3
    wide = data[at].astype(np.uint32) << 16 | data[at + 1].astype(np.uint32) << 8 | data[at + 2]
    windows: NDArray[np.uint32] = wide >> (8 - (bits & 7)).astype(np.uint32) & 0xFFFF
    return windows
