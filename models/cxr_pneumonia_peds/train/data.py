"""The training images, read once through `models.prepare` and split by person.

Source: Kermany, Zhang, Goldbaum, doi 10.17632/rscbjbr9sj.2 (CC BY 4.0); the README of the data
set says why `person` is the group and why one file of each identical group is kept.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold

from models.cxr_pneumonia_peds.train.network import INPUT_SIZE
from models.prepare import shrink

FOLDS = 5
SPLIT_SEED = 20261122


@dataclass(frozen=True)
class Radiographs:
    """Every distinct training image, in one order that never changes.

    grey     (images, 128, 128), uint8, as `models.prepare.shrink` gives it, times 255
    label    (images,), 1 pneumonia, 0 normal
    subtype  (images,), "normal", "bacterial" or "viral"; never shown to the network
    person   (images,), the group for every split
    fold     (images,), 0..4: the fold in which the image is held out
    """

    file: NDArray[np.str_]
    grey: NDArray[np.uint8]
    label: NDArray[np.int64]
    subtype: NDArray[np.str_]
    person: NDArray[np.str_]
    fold: NDArray[np.int64]


def load(source: Path, cache: Path, *, every: int = 1) -> Radiographs:
    """Read the data set in `source`, keeping the shrunken images in the file `cache`.

    every  more than 1 reads that share of the images only, of both labels
    """
    with (source / "duplicates.csv").open(encoding="utf-8", newline="") as handle:
        seen: set[str] = set()
        repeats: set[str] = set()
        for row in csv.DictReader(handle):
            (repeats if row["group"] in seen else seen).add(
                row["file"] if row["group"] in seen else row["group"]
            )
    with (source / "manifest.csv").open(encoding="utf-8", newline="") as handle:
        rows = sorted(
            (row for row in csv.DictReader(handle) if row["file"] not in repeats),
            key=lambda row: row["file"],
        )[::every]
    if cache.exists():
        grey = np.load(cache)
    else:
        grey = np.stack([_shrunken(source / row["file"]) for row in rows])
        np.save(cache, grey)
    label = np.array([int(row["label"] == "pneumonia") for row in rows])
    person = np.array([row["person"] for row in rows])
    return Radiographs(
        file=np.array([row["file"] for row in rows]),
        grey=grey,
        label=label,
        subtype=np.array([row["subtype"] for row in rows]),
        person=person,
        fold=_folds(label, person),
    )


def _shrunken(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"), dtype=np.float32)
    return np.round(shrink(pixels, INPUT_SIZE) * 255).astype(np.uint8)


def _folds(label: NDArray[np.int64], person: NDArray[np.str_]) -> NDArray[np.int64]:
    splitter = StratifiedGroupKFold(n_splits=FOLDS, shuffle=True, random_state=SPLIT_SEED)
    fold = np.full(len(label), -1)
    for number, (_, held_out) in enumerate(splitter.split(label, label, person)):
        fold[held_out] = number
    return fold
