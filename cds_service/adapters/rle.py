"""Count what every segment of an RLE frame unpacks to, without unpacking it.

The decoder ends the process on a segment that is too short and stops in silence in one that is too
long (pylibjpeg-rle 2.2.0, measured).

Source: DICOM PS3.5 annex G (G.3.1 packets, G.3.2 decoder, G.5 header).
"""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_HEADER, _MOST_SEGMENTS = 64, 15
_NOTHING = 128  # above: one byte, 257 - control times; below: control + 1 bytes as they are
_LENGTH, _PIXELS = 0xFF, 8  # of packets that are counted together: the low byte, and above it
_BLOCK = 1 << 16  # bytes: what is counted of them stays in the cache
_DOUBLINGS = 4  # up to 16 runs are counted together

Packets = NDArray[np.uint32]


class DamagedSegment(ValueError):
    """A segment does not hold one byte of every pixel."""


def check_rle(frame: bytes, planes: int, pixels: int) -> None:
    """Raise DamagedSegment unless the frame has so many segments of so many bytes, unpacked."""
    words = [int.from_bytes(frame[at : at + 4], "little") for at in range(0, _HEADER, 4)]
    count, offsets = words[0], words[1:]
    if len(frame) < _HEADER or count != planes or count > _MOST_SEGMENTS:
        raise DamagedSegment("the header does not fit the image")
    for start, end in pairwise([*offsets[:count], len(frame)]):
        if not _HEADER <= start <= end <= len(frame):
            raise DamagedSegment("a segment lies outside the frame")
        is_mostly_runs = 2 * (end - start) < pixels
        walk = _walk_runs if is_mostly_runs else _walk
        at, left = walk(frame, start, end, pixels)
        if left != 0 or at > end or frame[at:end].strip(b"\0"):
            raise DamagedSegment("a segment does not hold one byte of every pixel")


def _walk(frame: bytes, at: int, end: int, left: int) -> tuple[int, int]:
    """Return where the packet of the last pixel ends, and how many pixels are left."""
    while left > 0 and at < end:
        control = frame[at]
        if control < _NOTHING:
            at += control + 2
            left -= control + 1
        elif control > _NOTHING:
            at += 2
            left -= 257 - control
        else:
            at += 1
    return at, left


def _walk_runs(frame: bytes, at: int, end: int, left: int) -> tuple[int, int]:
    """Do the same where most packets are runs, many of them in a step."""
    while left > 0 and at < end:
        block = frame[at : min(at + _BLOCK, end)]
        packets = _packets(block).data
        inside, size = 0, len(block)
        while left > 0 and inside < size:
            step = packets[inside]
            inside += step & _LENGTH
            left -= step >> _PIXELS
        at += inside
    return at, left


def _packets(block: bytes) -> Packets:
    """Return the length and the pixels of the runs, or of the one packet, that begin at each place.

    A run past the last pixel is damage, whether it is counted alone or among others.
    """
    controls = np.arange(256)
    lengths = np.where(controls < _NOTHING, controls + 2, 2)
    pixels = np.where(controls < _NOTHING, controls + 1, 257 - controls)
    lengths[_NOTHING], pixels[_NOTHING] = 1, 0
    data = np.frombuffer(block, np.uint8)
    packets = (pixels << _PIXELS | lengths).astype(np.uint32).take(data)
    is_run = data > _NOTHING
    are_runs, reach = is_run.copy(), 2  # the packets in so many bytes from here
    for _ in range(_DOUBLINGS):
        packets[:-reach] += packets[reach:] * (are_runs[:-reach] & is_run[reach:])
        are_runs[:-reach] &= are_runs[reach:]
        reach *= 2
    return packets
