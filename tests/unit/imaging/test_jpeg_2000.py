"""JPEG 2000 made in memory in the ways that encoders choose, and what shows that it is damaged."""

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.uid import JPEG2000, JPEG2000Lossless

from cds_service.adapters.jpeg_2000 import check_packets
from cds_service.adapters.pixels import DicomReader
from cds_service.errors import StudyUnusable
from tests.unit.imaging.dicom import a_film, as_file, compressed

SIDE = 160
EIGHT_BITS = {"BitsAllocated": 8, "BitsStored": 8, "HighBit": 7}
WAYS: tuple[dict[str, Any], ...] = (
    {},
    {"plt": True},
    {"tile_size": (64, 64)},
    {"precinct_size": (32, 32), "codeblock_size": (16, 16)},
    {"quality_mode": "rates", "quality_layers": [40, 20, 5], "irreversible": True},
    {"num_resolutions": 1},
)


def a_scene() -> Image.Image:
    """A textured square on black: flat parts make empty packets."""
    rng = np.random.default_rng(5)
    scene = np.zeros((SIDE, SIDE))
    scene[20:140, 20:140] = 100 + np.cumsum(rng.normal(0, 3, (120, 120)), axis=1)
    return Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))


def coded(**options: Any) -> bytes:
    buffer = BytesIO()
    a_scene().save(buffer, "JPEG2000", no_jp2=True, **options)
    return buffer.getvalue()


def read(codestream: bytes) -> Any:
    blank = a_film(np.zeros((SIDE, SIDE), np.uint16), **EIGHT_BITS)
    return DicomReader().pixels(as_file(compressed(blank, JPEG2000, codestream))).values


def refuses(codestream: bytes) -> bool:
    with pytest.raises(StudyUnusable) as refused:
        read(codestream)
    return refused.value.code == "damaged-pixels"


def with_packet_markers(codestream: bytes) -> tuple[bytes, list[int]]:
    """Put a start-of-packet marker before each packet of the only tile; return where they are."""
    plt, data = codestream.index(b"\xff\x58"), codestream.index(b"\xff\x93") + 2
    stated = codestream[plt + 5 : plt + 2 + int.from_bytes(codestream[plt + 2 : plt + 4], "big")]
    lengths, length = [], 0
    for byte in stated:
        length = length << 7 | byte & 0x7F
        if byte < 0x80:
            lengths.append(length)
            length = 0
    packets, at, places = b"", data, []
    for number, size in enumerate(lengths):
        places.append(len(packets))
        packets += b"\xff\x91\0\x04" + number.to_bytes(2, "big") + codestream[at : at + size]
        at += size
    tile = codestream.index(b"\xff\x90")
    header = bytearray(codestream[:plt])  # its lengths would have to count the markers
    coding = header.index(b"\xff\x52") + 4
    header[coding] |= 2
    header[tile + 6 : tile + 10] = (plt + 2 + len(packets) - tile).to_bytes(4, "big")
    whole = bytes(header) + b"\xff\x93" + packets + codestream[at:]
    return whole, [plt + 2 + place for place in places]


@pytest.mark.parametrize("options", WAYS, ids=str)
def test_each_way_to_code_a_film_is_read(options: dict[str, Any]) -> None:
    codestream = coded(**options)

    assert np.array_equal(read(codestream), np.asarray(Image.open(BytesIO(codestream))))


@pytest.mark.parametrize("options", [{}, {"plt": True}], ids=str)
def test_a_hole_of_zeros_is_refused_wherever_it_is(options: dict[str, Any]) -> None:
    codestream = coded(**options)
    begin = codestream.index(b"\xff\x93") + 2

    for at in range(begin, len(codestream) - 210, 211):
        assert refuses(codestream[:at] + bytes(200) + codestream[at + 200 :])


def test_packets_that_are_shorter_than_their_marker_says_are_refused() -> None:
    codestream = bytearray(coded(plt=True))
    tile = codestream.index(b"\xff\x90")
    middle = (tile + len(codestream)) // 2
    length = int.from_bytes(codestream[tile + 6 : tile + 10], "big")
    codestream[tile + 6 : tile + 10] = (length - 8).to_bytes(4, "big")
    del codestream[middle : middle + 8]

    assert refuses(bytes(codestream))


def test_packets_with_markers_are_read_and_a_lost_one_is_missed() -> None:
    whole, places = with_packet_markers(coded(plt=True))
    assert np.array_equal(read(whole), np.asarray(a_scene()))

    for place in places[1:]:
        renumbered = bytearray(whole)
        renumbered[place + 5] ^= 1
        assert refuses(bytes(renumbered))


def test_counts_that_no_film_has_cost_no_memory() -> None:
    codestream = bytearray(coded())
    codestream[24:32] = b"\xff" * 8  # one tile of 2^32 x 2^32
    layers = codestream.index(b"\xff\x52") + 6
    codestream[layers : layers + 2] = b"\xff\xff"

    check_packets(bytes(codestream), is_arithmetic=True)


def test_a_lossless_film_is_lossless() -> None:
    film = a_film(np.zeros((SIDE, SIDE), np.uint16), **EIGHT_BITS)

    values = DicomReader().pixels(as_file(compressed(film, JPEG2000Lossless, coded()))).values

    assert np.array_equal(values, np.asarray(a_scene()))
