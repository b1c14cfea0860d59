"""A chest film tells its own polarity: the middle is brighter than lungs and corners."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cds_service.adapters.polarity import is_frontal_chest, looks_negative
from tests.fakes.imaging import a_use
from tests.unit.imaging.dicom import a_composite


@pytest.mark.parametrize("gamma", [0.6, 1.0, 1.6])
def test_a_composite_is_no_negative_and_its_negative_is_one(gamma: float) -> None:
    film = (a_composite() / 4095) ** gamma

    assert not looks_negative(film) and looks_negative(1 - film)


def test_real_films_are_no_negatives_and_their_negatives_are(shared_data: Path) -> None:
    paths = sorted((shared_data / "kermany-train").glob("*/*.jpeg"))[::20]
    films = [np.asarray(Image.open(path).convert("L")) for path in paths]

    assert len(films) > 200 and not any(map(looks_negative, films))
    assert sum(looks_negative(255 - film) for film in films) >= len(films) - 1


def test_a_film_that_is_white_in_both_lungs_is_no_negative_while_its_corners_are_dark() -> None:
    film = np.full((200, 160), 1000, np.uint16)
    film[50:150, 30:130] = 1200  # lungs, brighter than the middle between them
    film[:, 70:90] = 1100
    film[:50, :40] = film[:50, -40:] = 100

    assert not looks_negative(film)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, True),
        ({"body_parts": frozenset()}, False),
        ({"modalities": frozenset({"CT"})}, False),
        ({"views": frozenset()}, False),
        ({"views": frozenset({"AP", "LL"})}, False),
    ],
    # Not the sets themselves: they are written in another order in each process.
    ids=["frontal chest", "any body part", "CT", "any view", "a side view too"],
)
def test_only_a_model_of_frontal_chest_films_asks(
    changes: dict[str, frozenset[str]], expected: bool
) -> None:
    assert is_frontal_chest(a_use(**changes)) is expected
