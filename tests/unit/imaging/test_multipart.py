"""Multipart bodies, in chunks of any size.

Source: RFC 2046 5.1.1.
"""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.adapters.multipart import MultipartBroken, PartTooLarge, boundary_of, parts

KIND = b"Content-Type: application/dicom\r\n\r\n"


def body(*contents: bytes) -> bytes:
    return b"".join(b"--B\r\n" + KIND + c + b"\r\n" for c in contents) + b"--B--\r\n"


def in_chunks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


contents = st.lists(st.binary(max_size=60).filter(lambda c: b"\r\n--B" not in c), max_size=4)


@given(contents, st.integers(1, 50))
def test_whatever_the_chunks_the_parts_are_the_same(wanted: list[bytes], size: int) -> None:
    assert list(parts(in_chunks(body(*wanted), size), b"B", 10_000)) == wanted


@given(st.integers(1, 200), st.integers(1, 50))
def test_a_body_that_ends_early_is_broken(keep: int, size: int) -> None:
    whole = body(b"x" * 100, b"y" * 100)

    with pytest.raises(MultipartBroken):
        list(parts(in_chunks(whole[:keep], size), b"B", 10_000))


def test_a_preamble_is_ignored() -> None:
    assert list(parts([b"preamble\r\n" + body(b"x")], b"B", 100)) == [b"x"]


def test_the_limit_counts_all_parts_together() -> None:
    reader = parts(in_chunks(body(b"x" * 60, b"y" * 60), 7), b"B", 100)

    assert next(reader) == b"x" * 60
    with pytest.raises(PartTooLarge):
        next(reader)


def test_an_endless_part_is_not_held() -> None:
    given_out = 0

    def endless() -> Iterator[bytes]:
        nonlocal given_out
        yield b"--B\r\n" + KIND
        while True:
            given_out += 1000
            yield b"z" * 1000

    with pytest.raises(PartTooLarge):
        list(parts(endless(), b"B", 50_000))
    assert given_out <= 52_000


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ('multipart/related; type="application/dicom"; boundary=abc', b"abc"),
        ('Multipart/Related; boundary="a b;c"; type="application/dicom"', b"a b;c"),
    ],
)
def test_the_boundary_is_read(content_type: str, boundary: bytes) -> None:
    assert boundary_of(content_type) == boundary


@pytest.mark.parametrize("content_type", ["", "text/html", "multipart/related", "application/zip"])
def test_what_names_no_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(MultipartBroken):
        boundary_of(content_type)
