"""Test the activation map: do its hot cells carry the score, and do they lie in the chest?

Deletion replaces the cells in the order of the map, hottest first, by those of a normal film; a map
that tells the truth makes the score fall fast. Insertion starts from that normal film and gives the
cells back. (A blurred or a mean film will not do in its place: a blurred lung is a white lung.) The
same is done in random order and from the centre outwards, which is where most disease is anyway.

Source: Petsiuk et al. 2018, "RISE: Randomized Input Sampling for Explanation" (the two scores).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.cxr_pneumonia_peds.train import data
from models.cxr_pneumonia_peds.train.figures import choose, out_of_fold
from models.cxr_pneumonia_peds.train.network import INPUT_SIZE, SmallResNet
from models.cxr_pneumonia_peds.train.scope import read_network
from models.explain import heat_of
from models.prepare import standardise

SEED = 37
FILMS_OF_A_FOLD = 20
CELLS = 16  # a side of the map
STEPS = 16  # of 16 cells each
# The part of a frontal film in which lungs lie, as shares of its rows and columns.
BOX_ROWS, BOX_COLUMNS = (0.12, 0.88), (0.08, 0.92)

Bytes = NDArray[np.uint8]
Grey = NDArray[np.float32]
Floats = NDArray[np.float64]


def main() -> None:
    """Write `evidence.json`: means over held-out films in which the finding is called present."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images = data.load(arguments.data, arguments.work / "grey.npy")
    logit = out_of_fold(arguments.work, len(images.label))
    rng = np.random.default_rng(SEED)
    films = []
    for fold in range(data.FOLDS):
        network, inside = read_network(arguments.work, fold), images.fold != fold
        point = choose(logit[inside], images.label[inside])
        called = (images.fold == fold) & (point.probability(logit) > point.threshold)
        normal = images.grey[inside & (images.label == 0)]
        sick = np.flatnonzero(called & (images.label == 1))
        for i in rng.choice(sick, FILMS_OF_A_FOLD, replace=False):
            films.append(_film(network, images.grey[i], rng.choice(normal), rng))
    report = {"films": len(films)} | {
        name: round(float(np.nanmean([film[name] for film in films])), 3) for name in films[0]
    }
    report["area_of_box"] = round(float(box().mean()), 3)
    (arguments.work / "evidence.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(json.dumps(report, indent=1))


def _film(
    network: SmallResNet, grey: Bytes, normal: Bytes, rng: np.random.Generator
) -> dict[str, Any]:
    """Return the scores of one film under the three orders, and where its heat lies.

    A score is the mean of the logits on the way: 1 is that of the film, 0 that of the normal film.
    """
    film, blank = (standardise(image.astype(np.float32)) for image in (grey, normal))
    with torch.no_grad():
        activation = network.activation(network.features(_batch([film]))[1])[0, 0].numpy()
    centre = np.linspace(-1, 1, CELLS)
    orders = {
        "map": activation,
        "random": rng.random((CELLS, CELLS)),
        "centre": -np.add.outer(centre**2, centre**2),
    }
    heat = heat_of(activation)
    found: dict[str, Any] = {}
    for name, order in orders.items():
        deletion = _curve(network, order, film, blank)
        insertion = _curve(network, order, blank, film)
        span = deletion[0] - insertion[0]
        found[f"deletion_{name}"] = float((deletion - insertion[0]).mean() / span)
        found[f"insertion_{name}"] = float((insertion - insertion[0]).mean() / span)
    found["heat_in_box"] = float((heat * box()).sum() / heat.sum()) if heat.any() else np.nan
    return found


def box() -> NDArray[np.float32]:
    """Return how much of each cell lies in the box, (16, 16), 0..1."""
    edges = np.arange(CELLS + 1) / CELLS
    down, across = (
        np.clip(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0, None) * CELLS
        for low, high in (BOX_ROWS, BOX_COLUMNS)
    )
    return np.outer(down, across).astype(np.float32)


def _curve(network: SmallResNet, order: Floats | Grey, start: Grey, end: Grey) -> Floats:
    """Return the logits (17,) while the cells go from `start` to `end`, highest order first."""
    rank = np.argsort(np.argsort(-order.ravel())).reshape(order.shape)
    pixels = np.kron(rank, np.ones((INPUT_SIZE // CELLS,) * 2))
    done = [pixels < step * CELLS * CELLS / STEPS for step in range(STEPS + 1)]
    with torch.no_grad():
        return network(_batch([np.where(m, end, start) for m in done])).squeeze(1).double().numpy()


def _batch(images: list[Grey]) -> Tensor:
    stack = torch.from_numpy(np.stack(images)[:, np.newaxis])
    return stack.to(memory_format=torch.channels_last)


if __name__ == "__main__":
    main()
