"""RLE segments, whole and damaged: refused is what does not end with the last pixel."""

import numpy as np
import pytest

from cds_service.adapters.rle import DamagedSegment, check_rle

PIXELS = 5000


def frame(*segments: bytes) -> bytes:
    """Put the header of PS3.5 G.5 before the segments."""
    starts = [64 + sum(map(len, segments[:number])) for number in range(len(segments))]
    words = [len(segments), *starts, *[0] * (15 - len(segments))]
    return b"".join(word.to_bytes(4, "little") for word in words) + b"".join(segments)


def packed(rng: np.random.Generator, share_of_runs: float, pixels: int = PIXELS) -> bytes:
    """Write packets of every kind that hold so many pixels."""
    packets, left = [], pixels
    while left:
        length = min(left, int(rng.choice([1, 2, 3, 40, 128])))
        packets.append(b"\x80" if rng.random() < 0.02 else b"")  # no operation
        if length > 1 and rng.random() < share_of_runs:
            packets.append(bytes([257 - length]) + rng.bytes(1))
        else:
            packets.append(bytes([length - 1]) + rng.bytes(length))
        left -= length
    segment = b"".join(packets)
    return segment + b"\0" * (len(segment) % 2)


def holds_all(segment: bytes, pixels: int = PIXELS) -> bool:
    """Decode packet by packet as annex G.3.2 says, and look where that ends."""
    at = unpacked = 0
    while unpacked < pixels and at < len(segment):
        control = int.from_bytes(segment[at : at + 1], signed=True)
        at += 1
        if control >= 0:
            unpacked += control + 1
            at += control + 1
        elif control > -128:
            unpacked += 1 - control
            at += 1
    return unpacked == pixels and at <= len(segment) and not any(segment[at:])


def is_accepted(*segments: bytes) -> bool:
    try:
        check_rle(frame(*segments), len(segments), PIXELS)
    except DamagedSegment:
        return False
    return True


def spoiled(rng: np.random.Generator, segment: bytes) -> bytes:
    at = int(rng.integers(len(segment)))
    ways = (
        segment[:at] + bytes([segment[at] ^ 1 << int(rng.integers(8))]) + segment[at + 1 :],
        segment[:at] + rng.bytes(20) + segment[at + 20 :],
        segment[:at] + bytes(20) + segment[at + 20 :],
        segment[:at] + segment[at + 1 :],
        segment[:at],
        segment + rng.bytes(2),
        segment + bytes(int(rng.integers(4))),
        segment[:-3] + rng.bytes(3),
    )
    return ways[int(rng.integers(len(ways)))]


@pytest.mark.parametrize("share_of_runs", [0.0, 0.5, 0.98, 1.0])
def test_a_spoiled_segment_is_refused_where_decoding_it_does_not_end_with_the_last_pixel(
    share_of_runs: float,
) -> None:
    rng = np.random.default_rng(19)
    verdicts = []
    for _ in range(400):
        segment = spoiled(rng, packed(rng, share_of_runs))
        verdicts.append(holds_all(segment))

        assert is_accepted(segment) is verdicts[-1]

    assert 40 < sum(verdicts) < 360  # both kinds were met


@pytest.mark.parametrize("share_of_runs", [0.0, 0.5, 0.98])
def test_whole_segments_are_accepted_however_they_are_packed(share_of_runs: float) -> None:
    rng = np.random.default_rng(20)

    for _ in range(50):
        assert is_accepted(packed(rng, share_of_runs), packed(rng, 1 - share_of_runs))


def test_runs_are_counted_over_more_bytes_than_are_looked_at_together() -> None:
    runs = b"\xff\x07" * 100_000  # two pixels each
    check_rle(frame(runs), 1, 200_000)

    for damaged in (runs[:-2], runs + b"\xff\x07"):
        with pytest.raises(DamagedSegment):
            check_rle(frame(damaged), 1, 200_000)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        frame(b"\xff\x07")[:63],
        frame(b"\xff\x07", b"\xff\x07"),
        (1).to_bytes(4, "little") + (63).to_bytes(4, "little") + bytes(56) + b"\xff\x07",
        (1).to_bytes(4, "little") + (99).to_bytes(4, "little") + bytes(56) + b"\xff\x07",
    ],
    ids=["empty", "short header", "another count", "inside the header", "past the end"],
)
def test_a_header_that_does_not_fit_is_refused(damaged: bytes) -> None:
    with pytest.raises(DamagedSegment):
        check_rle(damaged, 1, 2)
