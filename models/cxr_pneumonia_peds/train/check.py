"""Does learning still work? Fit one network and its scope head on a few hundred images.

Seeded, and through the code that fits the shipped model. Ends with an error when the network does
not rank persons it has not seen, when it ranks them as well after its labels were shuffled, or
when the scope head lets turned films pass.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from models.cxr_pneumonia_peds.train import data, fit, scope
from models.cxr_pneumonia_peds.train.figures import auc_of

EVERY = 12  # one image in twelve: 433
PICTURES = 60  # of each kind, for the scope head
AUC_WANTED = 0.90
AUC_BY_CHANCE = 0.75  # far above chance for some 87 images
TURNED_WANTED = 0.80


def main() -> None:
    """Print three figures; exit 1 when one is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        images = data.load(arguments.data, work / "grey.npy", every=EVERY)
        learned = _auc_after_fitting(images, work)
        turned = _refused_when_turned(images, work)
        chance = _auc_after_fitting(_shuffled(images), work / "shuffled")
    print(f"AUC on new persons {learned:.3f}, with shuffled labels {chance:.3f}")
    print(f"turned films refused {turned:.3f}")
    if learned < AUC_WANTED or chance > AUC_BY_CHANCE or turned < TURNED_WANTED:
        raise SystemExit("learning is broken")


def _auc_after_fitting(images: data.Radiographs, work: Path) -> float:
    work.mkdir(exist_ok=True)
    fit.fit_fold(images, 0, work)
    held_out = np.load(work / "fold-0.npz")
    return auc_of(held_out["logit"], images.label[held_out["index"]])


def _shuffled(images: data.Radiographs) -> data.Radiographs:
    """Shuffle the labels of the persons fitted on; those held out keep theirs."""
    label, inside = images.label.copy(), np.flatnonzero(images.fold != 0)
    label[inside] = np.random.default_rng(fit.SEED).permutation(label[inside])
    return replace(images, label=label)


def _refused_when_turned(images: data.Radiographs, work: Path) -> float:
    scope.fit_fold(images, 0, work, pictures=PICTURES)
    scores = np.load(work / "scope-0.npz")
    limit = np.quantile(scores["proper"], 0.98)
    return float(np.mean([(scores[name] > limit).mean() for name in scope.TURNED]))


if __name__ == "__main__":
    main()
