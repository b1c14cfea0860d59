"""Check a JPEG 2000 codestream by what its packets may not hold, before a decoder sees it.

Damage that leaves none of these traces cannot be seen: the arithmetic decoder accepts any bytes,
and OpenJPEG in its strict mode, its default, gave neither an error nor a warning (measured).

Source: ISO/IEC 15444-1 annex A (markers), B.6 (precincts), B.10 (packet headers), D.4.1.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from cds_service.adapters.jpeg_scan import DamagedScan

_SOC_SIZ, _SOT, _SOD, _EOC = b"\xff\x4f\xff\x51", b"\xff\x90", b"\xff\x93", b"\xff\xd9"
_COD, _COC, _PLT = 0x52, 0x53, 0x58
_HAS_PRECINCTS, _HAS_SOP = 1, 2  # bits of Scod
_PADDING = b"\0\xff"
_CODESTREAM_BOX = b"jp2c"
# D.4.1 and B.10.1: inside packets no byte above 8F follows FF, but for the packet markers 91, 92.
_ILLEGAL_IN_PACKETS = re.compile(rb"\xff[\x90\x93-\xff]")
_SOP = re.compile(rb"\xff\x91\0\x04(..)", re.DOTALL)
_LONGEST_ZEROS = 64  # bytes that are zero in one packet; 13 were the most in the files at hand


@dataclass(frozen=True, slots=True)
class CodedSize:
    """What the codestream says of itself."""

    rows: int
    columns: int
    components: int


@dataclass(frozen=True, slots=True)
class _Style:
    """What the main header says of every tile."""

    uses_sop: bool
    longest_zeros: int  # bytes; that of everything where it cannot be told


def coded_size(frame: bytes) -> CodedSize:
    """Return the size of the image; raise ValueError when the codestream does not begin or end."""
    codestream = _codestream(frame)
    if codestream[:4] != _SOC_SIZ or not codestream.rstrip(_PADDING).endswith(_EOC):
        raise DamagedScan("no whole codestream")
    right, bottom, left, top = _words(codestream, 8)
    components = int.from_bytes(codestream[40:42], "big")
    return CodedSize(bottom - top, right - left, components)


def check_packets(frame: bytes, *, is_arithmetic: bool) -> None:
    """Raise DamagedScan for packets with a marker or a hole in them, or not as they are counted.

    is_arithmetic   coded as in part 1; the raw bits of part 15 (HTJ2K) may be zeros
    """
    codestream = _codestream(frame)
    main_header, begin = _segments(codestream, 2, _SOT)
    style = _style(codestream, dict(main_header))
    expected: dict[int, int] = {}  # by tile: the number of its next packet
    for tile, header, packets in _tile_parts(codestream, begin):
        if _ILLEGAL_IN_PACKETS.search(packets):
            raise DamagedScan("a marker inside a packet")
        lengths = list(_packet_lengths(header))
        if lengths and sum(lengths) != len(packets):
            raise DamagedScan("the packets are not as long as their marker says")
        if style.uses_sop:
            expected[tile] = _check_sequence(packets, expected.get(tile, 0))
        # An empty packet is one zero byte (B.10.3), so as many may follow each other.
        is_own_style = any(marker == _COD for marker, _ in header)  # of this tile alone
        is_counted = is_arithmetic and not is_own_style and style.longest_zeros < len(packets)
        if is_counted and bytes(style.longest_zeros) in packets:
            raise DamagedScan("a hole inside the packets")


def _codestream(frame: bytes) -> bytes:
    if frame[4:8] == b"jP  ":  # a JP2 file where a bare codestream belongs; seen in the field
        return frame[frame.index(_CODESTREAM_BOX) + 4 :]
    return frame


def _words(data: bytes, at: int, count: int = 4) -> list[int]:
    return [int.from_bytes(data[i : i + 4], "big") for i in range(at, at + 4 * count, 4)]


def _style(codestream: bytes, segments: dict[int, bytes]) -> _Style:
    coding = segments[_COD]
    if _COC in segments:  # components are coded in different ways
        return _Style(bool(coding[0] & _HAS_SOP), len(codestream))
    return _Style(bool(coding[0] & _HAS_SOP), _LONGEST_ZEROS + _most_packets(codestream, coding))


def _most_packets(codestream: bytes, coding: bytes) -> int:
    """Count the packets of a whole tile: one for each layer, component and precinct (B.6)."""
    size = coded_size(codestream)
    width, height = _words(codestream, 24, 2)
    width, height = min(width, size.columns), min(height, size.rows)
    layers, levels = int.from_bytes(coding[2:4], "big"), coding[5]
    precinct_sizes = coding[10:] if coding[0] & _HAS_PRECINCTS else b"\xff" * (levels + 1)
    precincts = 0
    for level, exponents in zip(range(levels, -1, -1), precinct_sizes, strict=True):
        across, down = ((side >> level) for side in (width, height))
        precincts += ((across >> (exponents & 15)) + 2) * ((down >> (exponents >> 4)) + 2)
    return layers * size.components * precincts


def _segments(codestream: bytes, at: int, until: bytes) -> tuple[list[tuple[int, bytes]], int]:
    """Return marker and body of each segment before the marker `until`, and where that stands."""
    found = []
    while codestream[at : at + 2] != until:
        step = int.from_bytes(codestream[at + 2 : at + 4], "big")
        if codestream[at : at + 1] != b"\xff" or not step:
            raise DamagedScan("a marker is missing")
        found.append((codestream[at + 1], codestream[at + 4 : at + 2 + step]))
        at += 2 + step
    return found, at


def _tile_parts(codestream: bytes, at: int) -> Iterator[tuple[int, list[tuple[int, bytes]], bytes]]:
    """Yield tile, header and packets of each tile-part, as far as the lengths lead (A.4.2)."""
    while codestream[at : at + 2] == _SOT:
        tile = int.from_bytes(codestream[at + 4 : at + 6], "big")
        length = int.from_bytes(codestream[at + 6 : at + 10], "big")
        end = at + length if length else len(codestream.rstrip(_PADDING)) - 2
        header, body = _segments(codestream, at + 12, _SOD)
        if codestream[end : end + 2] not in (_SOT, _EOC):
            return  # inconsistent lengths, seen in files that decode: nothing to go by
        yield tile, header, codestream[body + 2 : end]
        at = end


def _packet_lengths(header: list[tuple[int, bytes]]) -> Iterator[int]:
    """Yield the lengths that PLT markers state: 7 bits a byte, the highest says "more" (A.7.3)."""
    for marker, body in header:
        length = 0
        for byte in body[1:] if marker == _PLT else b"":
            length = length << 7 | byte & 0x7F
            if byte < 0x80:
                yield length
                length = 0


def _check_sequence(packets: bytes, first: int) -> int:
    """Check the numbers of start-of-packet markers (A.8.1), and return the next one."""
    numbers = [int.from_bytes(found, "big") for found in _SOP.findall(packets)]
    steps = pairwise([(first - 1) % 65536, *numbers])
    if any((after - before) % 65536 != 1 for before, after in steps):
        raise DamagedScan("a packet is missing")
    return (first + len(numbers)) % 65536
