"""Text across the top or the bottom of a film is noted, whatever its header says."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from cds_service.adapters.pixels import DicomReader
from cds_service.adapters.text_strokes import shows_text
from tests.unit.imaging.dicom import a_composite, a_film, as_file


def with_text(film: NDArray[np.uint16], text: str, at: tuple[int, int]) -> NDArray[np.uint16]:
    drawn = Image.fromarray((film // 16).astype(np.uint8))
    ImageDraw.Draw(drawn).text(at, text, fill=255, font_size=24)
    return np.asarray(drawn).astype(np.uint16) * 16


def a_plain_film() -> NDArray[np.uint16]:
    return a_composite()[:640]  # below it the composite says what it is


@pytest.mark.parametrize("at", [(10, 10), (10, 610)], ids=["top", "bottom"])
def test_a_line_of_text_is_noted_and_the_film_is_read(at: tuple[int, int]) -> None:
    written = with_text(a_plain_film(), "PORTABLE AP SUPINE 12:30", at)

    assert DicomReader().pixels(as_file(a_film(a_plain_film()))).notes == ()
    assert DicomReader().pixels(as_file(a_film(written))).notes == ("text-in-image",)


def test_what_a_composite_says_of_itself_is_found() -> None:
    assert shows_text(a_composite())


def test_a_side_marker_is_no_text() -> None:
    assert not shows_text(with_text(a_plain_film(), "R", (40, 40)))


@pytest.mark.parametrize("shape", [(1, 1), (2, 1), (5, 3)])
def test_any_size_can_be_looked_at(shape: tuple[int, int]) -> None:
    assert not shows_text(np.arange(np.prod(shape)).reshape(shape))


def test_no_real_film_without_text_is_noted(shared_data: Path) -> None:
    paths = sorted((shared_data / "kermany-train").glob("*/*.jpeg"))[::20]

    noted = [path for path in paths if shows_text(np.asarray(Image.open(path).convert("L")))]

    assert len(paths) > 200 and len(noted) <= 1
