"""The activation map is evidence: take its hottest cells away and the score goes with them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from models.prepare import shrink, standardise
from tests.unit.models.builders import PNEUMONIA, the_session

CELLS, STEPS = 16, 8


def test_the_hottest_cells_carry_more_of_the_score_than_others(shared_data: Path) -> None:
    # The model was trained on these; the page of the model has the figures for films it has not.
    sick, well = (films(shared_data / "kermany-train" / name) for name in ("pneumonia", "normal"))
    rng = np.random.default_rng(20261122)

    by_map, by_chance = [], []
    for film, normal in zip(sick, well, strict=True):
        (activation,) = the_session().run(["activation"], {"image": film[None, None]})
        by_map.append(mean_logit_while_deleting(activation[0, 0], film, normal))
        by_chance.append(mean_logit_while_deleting(rng.random((CELLS, CELLS)), film, normal))

    assert len(sick) == 6
    assert np.mean(by_map) < np.mean(by_chance) - 0.5


def films(folder: Path) -> list[NDArray[np.float32]]:
    paths = sorted(folder.glob("*.jpeg"))
    chosen = []
    for path in paths[:: len(paths) // 6][:6]:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("L"), dtype=np.float32)
        chosen.append(standardise(shrink(pixels, PNEUMONIA.input.size)))
    return chosen


def mean_logit_while_deleting(
    order: NDArray[np.floating], film: NDArray[np.float32], normal: NDArray[np.float32]
) -> float:
    """Replace the cells by those of a normal film, the highest first, and watch the score."""
    rank = np.argsort(np.argsort(-order.ravel())).reshape(order.shape)
    pixels = np.kron(rank, np.ones((PNEUMONIA.input.size // CELLS,) * 2))
    steps = [pixels < step * CELLS * CELLS / STEPS for step in range(STEPS + 1)]
    images = np.stack([np.where(gone, normal, film) for gone in steps])[:, np.newaxis]
    (logit,) = the_session().run(["logit"], {"image": images})
    return float(logit.mean())
