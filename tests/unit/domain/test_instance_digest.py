"""Which image it is, whoever wrote the file around it."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import ImplicitVRLittleEndian

from cds_service.domain.instance_digest import instance_digest
from tests.unit.imaging.dicom import a_film, as_file


def test_another_preamble_and_another_file_meta_are_the_same_image() -> None:
    film = a_film()
    archived = as_file(film)
    film.file_meta.ImplementationVersionName = "ANOTHER"
    film.file_meta.SourceApplicationEntityTitle = "PACS"
    film.file_meta.PrivateInformationCreatorUID = "1.2.3"
    film.file_meta.PrivateInformation = b"x" * 3000
    film.preamble = b"II*\0" + bytes(124)

    assert instance_digest(as_file(film)) == instance_digest(archived)
    assert as_file(film) != archived


def test_every_byte_of_the_data_set_counts() -> None:
    data = as_file(a_film())
    at = data.index(b"\x08\x00\x16\x00UI", 132)

    seen = {instance_digest(data[:n] + bytes([data[n] ^ 1]) + data[n + 1 :]) for n in (at, at + 99)}

    assert len(seen | {instance_digest(data), instance_digest(data[:-1])}) == 4


def test_the_transfer_syntax_counts_because_the_rest_is_read_by_it() -> None:
    data = as_file(a_film())
    other = data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.5\0", 1)
    assert other != data

    assert instance_digest(other) != instance_digest(data)


def test_another_encoding_of_the_same_image_is_another() -> None:
    film = a_film()
    explicit = instance_digest(as_file(film))
    film.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian

    assert instance_digest(as_file(film)) != explicit


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: data[132:],
        lambda data: data[:140],
        lambda data: data[:150],
        lambda data: data[:140] + b"\xff\xff\xff\xff" + data[144:],
        lambda data: data[:140] + b"\x01\x00\x00\x00" + data[144:],
        lambda data: data.replace(b"\x02\x00\x10\x00UI", b"\x02\x00\x11\x00UI", 1),
        lambda _data: b"",
    ],
    ids=["no prefix", "cut", "cut later", "long", "short", "no syntax", "empty"],
)
def test_what_has_no_plain_file_meta_is_digested_whole(spoil: object) -> None:
    data = spoil(as_file(a_film()))  # type: ignore[operator]

    assert instance_digest(data) == sha256(data).hexdigest()


@given(st.binary(max_size=300))
def test_it_never_raises(tail: bytes) -> None:
    assert len(instance_digest(bytes(128) + b"DICM\x02\x00\x00\x00UL\x04\x00" + tail)) == 64
