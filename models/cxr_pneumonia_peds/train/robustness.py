"""Measure what exposure, sharpness, compression, framing and size do to the operating point.

Every third image, changed before `models.prepare`, is scored by the network that has not seen its
person, at the threshold, band and scope limit chosen on the unchanged images of the other folds.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from models.cxr_pneumonia_peds.train import data
from models.cxr_pneumonia_peds.train.export import read_ensemble
from models.cxr_pneumonia_peds.train.figures import auc_of, choose, out_of_fold, scope_limit
from models.cxr_pneumonia_peds.train.network import INPUT_SIZE
from models.prepare import prepare

EVERY = 3
SEED = 31

Grey = NDArray[np.float32]
Shift = Callable[[Grey, np.random.Generator], Grey]


def main() -> None:
    """Write `robustness.json` (the table) and `robustness.npz` (every score)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    images = data.load(arguments.data, arguments.work / "grey.npy")
    chosen = np.arange(len(images.label))[::EVERY]
    films = [_read(arguments.data / images.file[i]) for i in chosen]
    scores = {
        name: _scored(films, images.fold[chosen], shift, arguments.work)
        for name, shift in SHIFTS.items()
    }
    np.savez(arguments.work / "robustness.npz", index=chosen, **scores)
    table = {name: _row(score, chosen, images, arguments.work) for name, score in scores.items()}
    (arguments.work / "robustness.json").write_text(json.dumps(table, indent=1), encoding="utf-8")
    for name, row in table.items():
        print(f"{name:22s}", *row.values())


def _scored(
    films: list[Grey], fold: NDArray[np.int64], shift: Shift, work: Path
) -> NDArray[np.float64]:
    """Return (images, 2): logit and scope score of each shifted film, by its own fold's network."""
    rng = np.random.default_rng(SEED)
    ready = np.concatenate([prepare(shift(film, rng), INPUT_SIZE) for film in films])
    scores = np.empty((len(films), 2))
    for number in range(data.FOLDS):
        network, rows = read_ensemble(work, [number]), np.flatnonzero(fold == number)
        network.to(memory_format=torch.channels_last)
        with torch.no_grad():
            for part in np.array_split(rows, len(rows) // 64 + 1):
                logit, _, scope = network(torch.from_numpy(ready[part]))
                scores[part] = torch.cat([logit, scope], dim=1).numpy()
    return scores


def _row(
    score: NDArray[np.float64], chosen: NDArray[np.int64], images: data.Radiographs, work: Path
) -> dict[str, Any]:
    """Return one line of the table; a refused film counts in `lost` alone."""
    logit, label, fold = out_of_fold(work, len(images.label)), images.label, images.fold
    proper = [np.load(work / f"scope-{f}.npz")["proper"] for f in range(data.FOLDS)]
    above, unsure, lost = (np.zeros(len(chosen), bool) for _ in range(3))
    for number in range(data.FOLDS):
        here = fold[chosen] == number
        point = choose(logit[fold != number], label[fold != number])
        probability = point.probability(score[here, 0])
        above[here] = probability > point.threshold
        unsure[here] = (probability >= point.low) & (probability <= point.high)
        limit = scope_limit(np.concatenate(proper[:number] + proper[number + 1 :]))
        lost[here] = score[here, 1] > limit
    truth, subtype = label[chosen], images.subtype[chosen]
    read = ~lost
    return {
        "auc": round(auc_of(score[read, 0], truth[read]), 4),
        "sensitivity": round(float(above[read & (truth == 1)].mean()), 4),
        "specificity": round(float(1 - above[read & (truth == 0)].mean()), 4),
        "bacterial": round(float(above[read & (subtype == "bacterial")].mean()), 4),
        "viral": round(float(above[read & (subtype == "viral")].mean()), 4),
        "unsure": round(float(unsure[read].mean()), 4),
        "lost": round(float(lost.mean()), 4),
    }


def _read(path: Path) -> Grey:
    with Image.open(path) as image:
        return np.asarray(image.convert("L"), dtype=np.float32)


def _bytes(grey: Grey) -> Image.Image:
    return Image.fromarray(np.clip(np.round(grey), 0, 255).astype(np.uint8))


def _gamma(power: float) -> Shift:
    return lambda grey, _: 255 * (grey / 255) ** power


def _turned(degrees: float) -> Shift:
    return lambda grey, _: np.asarray(
        _bytes(grey).rotate(degrees, Image.Resampling.BILINEAR), np.float32
    )


def _sized(side: int) -> Shift:
    return lambda grey, _: np.asarray(
        Image.fromarray(grey).resize((side, side), Image.Resampling.BICUBIC)
    )


def _jpeg(grey: Grey, _: np.random.Generator) -> Grey:
    stream = io.BytesIO()
    _bytes(grey).save(stream, "JPEG", quality=40)
    return np.asarray(Image.open(stream), dtype=np.float32)


def _cropped(grey: Grey, _: np.random.Generator) -> Grey:
    edge = round(0.08 * len(grey))
    return grey[edge:-edge, edge:-edge]


SHIFTS: dict[str, Shift] = {
    "none": lambda grey, _: grey,
    "gamma 0.7": _gamma(0.7),
    "gamma 1.4": _gamma(1.4),
    "contrast 1.5, clipped": lambda grey, _: np.clip(1.5 * (grey - 128) + 128, 0, 255),
    "contrast 0.5": lambda grey, _: 0.5 * (grey - 128) + 128,
    "blur, sigma 1.5 px": lambda grey, _: np.asarray(
        _bytes(grey).filter(ImageFilter.GaussianBlur(1.5)), np.float32
    ),
    "JPEG quality 40": _jpeg,
    "cropped by 8 % a side": _cropped,
    "black frame of 8 %": lambda grey, _: np.pad(grey, round(0.08 * len(grey))),
    "12 bits": lambda grey, _: np.round(grey / 255 * 4095),
    "noise of 5 %": lambda grey, rng: (
        grey + 12.75 * rng.standard_normal(grey.shape).astype(np.float32)
    ),
    "turned by 7 degrees": _turned(7),
    "turned by -7 degrees": _turned(-7),
    "112 x 112 pixels": _sized(112),
    "1024 x 1024 pixels": _sized(1024),
}


if __name__ == "__main__":
    main()
