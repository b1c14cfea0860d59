"""Lossless JPEG made here bit by bit: what its samples prove, and that no damage passes by it."""

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.uid import JPEGLosslessSV1

from cds_service.adapters.codestream import Matrix, check_codestream, check_samples
from cds_service.adapters.decoders import decoded_frame
from cds_service.adapters.jpeg_lossless import accounts_for
from cds_service.adapters.jpeg_scan import DamagedScan, check_scan, read_frame
from cds_service.adapters.pixels import DicomReader
from cds_service.errors import StudyUnusable
from tests.unit.imaging.dicom import a_film, a_picture, as_file, compressed

ROWS, COLUMNS = 61, 47
MATRIX = Matrix(ROWS, COLUMNS, 1, 2)
# Codes of 2 to 9 bits for the categories 0 to 12; no code is made of ones alone.
COUNTS = bytes([0, 1, 4, 2, 1, 1, 1, 1, 2, 0, 0, 0, 0, 0, 0, 0])
CATEGORIES = bytes([3, 2, 4, 5, 1, 0, 6, 7, 8, 9, 10, 11, 12])


def codes() -> dict[int, str]:
    """Return the code of each category, in ones and zeros (ISO/IEC 10918-1 annex C)."""
    made, code, symbols = {}, 0, iter(CATEGORIES)
    for length, count in enumerate(COUNTS, 1):
        for _ in range(count):
            made[next(symbols)] = f"{code:0{length}b}"
            code += 1
        code <<= 1
    return made


def bits_of(differences: list[int]) -> str:
    """Write each difference as H.1.2.2 says: its category, then its value."""
    code, bits = codes(), []
    for difference in differences:
        category = abs(difference).bit_length()
        value = difference if difference >= 0 else difference + (1 << category) - 1
        bits.append(code[category] + (f"{value:0{category}b}" if category else ""))
    return "".join(bits)


def samples() -> NDArray[np.uint16]:
    noise = np.random.default_rng(31).normal(0, 6, (ROWS, COLUMNS))
    return np.clip(a_picture(ROWS, COLUMNS) + noise, 0, 4095).astype(np.uint16)


def differences_of(picture: NDArray[np.uint16]) -> list[int]:
    wide = picture.astype(int)
    above = np.concatenate([[2048], wide[:-1, 0]])
    return [int(one) for one in np.diff(wide, axis=1, prepend=above[:, None]).ravel()]


def codestream(differences: list[int], *, without_samples: int = 0) -> bytes:
    """Return a whole JPEG of ROWS x COLUMNS, 12 bits, predicted from the left."""
    bits = bits_of(differences[: len(differences) - without_samples])
    bits += "1" * (-len(bits) % 8)
    scan = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    size = ROWS.to_bytes(2, "big") + COLUMNS.to_bytes(2, "big")
    segments = (
        b"\xff\xd8",
        b"\xff\xc3\x00\x0b\x0c" + size + b"\x01\x01\x11\x00",
        b"\xff\xc4" + (19 + len(CATEGORIES)).to_bytes(2, "big") + b"\0" + COUNTS + CATEGORIES,
        b"\xff\xda\x00\x08\x01\x01\x00\x01\x00\x00",
    )
    return b"".join(segments) + scan + b"\xff\xd9"


def is_whole(scan: bytes) -> bool:
    """Read code by code whether every sample is there and at most two bytes are left."""
    bits = "".join(f"{byte:08b}" for byte in scan.replace(b"\xff\x00", b"\xff"))
    categories = {code: category for category, code in codes().items()}
    at = 0
    for _ in range(ROWS * COLUMNS):
        end = next((at + n for n in range(2, 10) if bits[at : at + n] in categories), None)
        if end is None:
            return False
        at = end + categories[bits[at:end]]
    return 0 <= len(bits) - at < 16


def grey(frame: bytes) -> Dataset:
    return compressed(a_film(samples()), JPEGLosslessSV1, frame + b"\0" * (len(frame) % 2))


def is_accepted(frame: bytes) -> bool:
    try:
        scan = check_codestream(JPEGLosslessSV1, frame, MATRIX)
        assert scan is not None
        check_samples(scan, decoded_frame("gdcm", JPEGLosslessSV1, frame, grey(frame)))
    except Exception:  # whatever a decoder throws is a refusal
        return False
    return True


def spoiled(whole: bytes, times: int) -> Iterator[bytes]:
    """Yield the frame with damage in its scan, at its end more often than elsewhere."""
    rng = np.random.default_rng(32)
    begin = whole.index(b"\xff\xda") + 10
    for number in range(times):
        first = begin if number % 3 else len(whole) - 40
        at = int(rng.integers(first, len(whole) - 2))
        ways = (
            whole[:at] + bytes([whole[at] ^ 1 << int(rng.integers(8))]) + whole[at + 1 :],
            whole[:at] + rng.bytes(3) + whole[at + 3 :],
            whole[:at] + bytes(12) + whole[at + 12 :],
            whole[:at] + whole[at + 1 :],
        )
        frame = ways[number % 4]
        scan = frame[begin:-2].replace(b"\xff\x00", b"")
        if frame.endswith(b"\xff\xd9") and b"\xff" not in scan:
            yield frame


def test_the_samples_of_a_whole_scan_account_for_all_of_it() -> None:
    frame = codestream(differences_of(samples()))

    decoded = decoded_frame("gdcm", JPEGLosslessSV1, frame, grey(frame))

    assert np.array_equal(decoded, samples())
    assert accounts_for(read_frame(frame), decoded)
    assert np.array_equal(DicomReader().pixels(as_file(grey(frame))).values, samples())


def test_damage_is_refused_where_reading_code_by_code_does_not_end_with_the_last_sample() -> None:
    whole = codestream(differences_of(samples()))
    begin = whole.index(b"\xff\xda") + 10
    verdicts = []

    for frame in spoiled(whole, 600):
        verdicts.append(is_whole(frame[begin:-2]))
        assert is_accepted(frame) is verdicts[-1]

    assert 60 < sum(verdicts) < len(verdicts) - 60  # both kinds were met


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_scan_that_ends_some_samples_too_early_is_refused(lost: int) -> None:
    frame = codestream(differences_of(samples()), without_samples=lost)

    with pytest.raises(StudyUnusable) as refused:
        DicomReader().pixels(as_file(grey(frame)))

    assert refused.value.code == "damaged-pixels"


def test_a_walk_does_not_end_where_the_scan_lacks_a_sample() -> None:
    scan = read_frame(codestream(differences_of(samples()), without_samples=1))

    with pytest.raises(DamagedScan):
        check_scan(scan)


def test_samples_that_take_as_many_bits_in_another_order_do_not_account_for_a_scan() -> None:
    scan = read_frame(codestream(differences_of(samples())))
    moved = samples()
    steps = np.diff(moved[-1].astype(int))[::-1]
    moved[-1, 1:] = moved[-1, 0] + np.cumsum(steps)

    assert not accounts_for(scan, moved)
    assert not accounts_for(scan, samples()[:-1])


def test_the_ones_that_fill_the_last_byte_are_no_sample() -> None:
    for value in range(4096):
        picture = samples()
        picture[-1, -2:] = value
        differences = differences_of(picture)
        unused = -len(bits_of(differences[:-1])) % 8
        if unused >= len(codes()[0]):  # as many as the difference of 0 takes
            break
    scan = read_frame(codestream(differences, without_samples=1))

    assert not accounts_for(scan, picture)


@pytest.mark.parametrize("parameters", [b"\x07\x00\x00", b"\x01\x00\x01"])
def test_what_the_samples_cannot_tell_is_left_to_the_walk(parameters: bytes) -> None:
    frame = codestream(differences_of(samples())).replace(
        b"\xff\xda\x00\x08\x01\x01\x00\x01\x00\x00", b"\xff\xda\x00\x08\x01\x01\x00" + parameters
    )
    scan = check_codestream(JPEGLosslessSV1, frame, MATRIX)
    assert scan is not None and not accounts_for(scan, samples())

    check_samples(scan, samples())
