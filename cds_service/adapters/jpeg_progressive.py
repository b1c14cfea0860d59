"""Walk every scan of a progressive JPEG, to see whether each ends with its last symbol.

The retired processes of DICOM code a film in several scans: a band of the spectrum each, or one
more bit of what is known. A scan that refines skips what earlier scans left zero, so what they left
is remembered.

Source: ISO/IEC 10918-1 annex G (G.1.2.1 DC, G.1.2.2 and G.1.2.3 AC, first and refining).
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from cds_service.adapters.jpeg_scan import (
    SLACK_BITS,
    DamagedScan,
    Frame,
    HuffmanTable,
    coded_parts,
    read_frame,
    scan_end,
)

SOF_PROGRESSIVE = 0xC2
_START_OF_IMAGE = b"\xff\xd8"
_END_OF_IMAGE = 0xD9


@dataclass(frozen=True, slots=True)
class _Scan:
    """One scan: coefficients `first` to `last` of every block, in zigzag order."""

    frame: Frame
    first: int
    last: int
    refines: bool


def check_progressive(codestream: bytes) -> None:
    """Raise DamagedScan unless every scan of a grey progressive JPEG ends with its last symbol.

    Interleaved scans (colour) pass unseen.
    """
    known: bytearray | None = None  # 64 for each block: 1 where a coefficient is not zero
    for scan in _scans(codestream):
        if scan.frame.components != 1:
            return
        blocks = -(-scan.frame.rows // 8) * -(-scan.frame.columns // 8)
        known = bytearray(64 * blocks) if known is None else known
        start = 0
        for coded, count in coded_parts(scan.frame, blocks):
            used = _walk(scan, coded, range(start, start + count), known)
            if not 0 <= 8 * len(coded) - used < SLACK_BITS:
                raise DamagedScan("a scan does not end with its last symbol")
            start += count


def _scans(codestream: bytes) -> Iterator[_Scan]:
    """Yield every scan, with the tables that hold where it begins."""
    frame = read_frame(codestream)
    while True:
        first, last, approximation = frame.spectrum
        if not (first == last == 0 or 0 < first <= last < 64):
            raise DamagedScan("a scan of no band of the spectrum")
        yield _Scan(frame, first, last, refines=approximation >> 4 > 0)
        end = scan_end(frame)
        if frame.scan[end + 1] == _END_OF_IMAGE:
            return
        further = read_frame(_START_OF_IMAGE + frame.scan[end:])
        if further.kind:
            raise DamagedScan("a second start of frame")
        frame = replace(
            frame,
            tables={**frame.tables, **further.tables},
            restart_interval=further.restart_interval or frame.restart_interval,
            selectors=further.selectors,
            spectrum=further.spectrum,
            scan=further.scan,
        )


def _walk(scan: _Scan, coded: bytes, blocks: range, known: bytearray) -> int:
    """Return the bit after the last symbol."""
    if scan.first > 0:
        return _walk_ac(scan, coded, blocks, known)
    if scan.refines:
        return len(blocks)
    bits = _Bits(coded, scan.frame.table(scan.frame.selectors >> 4, is_lossless=False))
    for _ in blocks:
        bits.symbol()
    return bits.at


class _Bits:
    """A place in a scan."""

    def __init__(self, coded: bytes, table: HuffmanTable) -> None:
        self.at = 0
        self._coded = coded + b"\xff\xff\xff"  # F.1.2.3: ones after the end
        self._end = 8 * len(coded)
        self._advance, self._symbol = table.advance.tobytes(), table.symbol.tobytes()

    def window(self) -> int:
        """Return the next 16 bits."""
        if self.at >= self._end:
            raise DamagedScan("a scan is too short")
        byte = self.at >> 3
        three = int.from_bytes(self._coded[byte : byte + 3], "big")
        return three >> (8 - (self.at & 7)) & 0xFFFF

    def symbol(self) -> int:
        """Return the next symbol and pass over the value that follows it."""
        window = self.window()
        if not self._advance[window]:
            raise DamagedScan("no code begins here")
        self.at += self._advance[window]
        return self._symbol[window]

    def run(self, exponent: int) -> int:
        """Return how many blocks an end-of-band symbol ends, this one among them."""
        further = self.window() >> (16 - exponent) if exponent else 0
        self.at += exponent
        return (1 << exponent) + further


def _walk_ac(scan: _Scan, coded: bytes, blocks: range, known: bytearray) -> int:
    bits = _Bits(coded, scan.frame.table(0x10 | scan.frame.selectors & 15, is_lossless=False))
    band_ends = 0  # blocks, with the next, that hold nothing new
    for block in blocks:
        at, end = 64 * block + scan.first, 64 * block + scan.last + 1
        while at < end and not band_ends:
            run, size = divmod(bits.symbol(), 16)
            if size == 0 and run < 15:
                band_ends = bits.run(run)
                break
            at = _pass_over(run, at, end, bits, known if scan.refines else None)
            if size:
                if at >= end or (scan.refines and size != 1):
                    raise DamagedScan("a coefficient outside its band")
                known[at] = 1
            at += 1
        if band_ends:
            if scan.refines:
                bits.at += known.count(1, at, end)
            band_ends -= 1
    if band_ends:
        raise DamagedScan("an end of band past the last block")
    return bits.at


def _pass_over(run: int, at: int, end: int, bits: _Bits, known: bytearray | None) -> int:
    """Return the place `run` zeros further; of what is known by then, one bit each is refined."""
    if known is None:
        return at + run
    while at < end:
        if known[at]:
            bits.at += 1
        elif run == 0:
            break
        else:
            run -= 1
        at += 1
    return at
