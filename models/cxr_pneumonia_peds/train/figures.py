"""Measure the folds, and choose the operating point, without scoring anything on its own choice.

For each fold the calibration, the threshold and the abstain band are chosen on the other four
folds and applied to it. The values in the card are chosen in the same way on all five; the figures
in the card are those of the cross-fitted decisions. Intervals resample persons, not images.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from sklearn.linear_model import LogisticRegression

from models.cxr_pneumonia_peds.train import data

# A warning that interrupts for nothing is what makes clinicians switch warnings off.
SPECIFICITY_WANTED = 0.98
# An abstention costs a reading as an error does, and elsewhere more images lie in the band.
ABSTAIN_SHARE = 0.01
# Of proper films; far below the 2 % that may be lost, because films from elsewhere score higher.
SCOPE_LOST_SHARE = 0.005
RESAMPLES = 2000
SEED = 11
BINS = 10

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class OperatingPoint:
    """Calibration, threshold and abstain band; the last two are calibrated probabilities."""

    slope: float
    intercept: float
    threshold: float
    low: float
    high: float

    def probability(self, logit: Floats) -> Floats:
        return 1 / (1 + np.exp(-(self.slope * logit + self.intercept)))


def main() -> None:
    """Write `figures.json`: the operating point of the card and the cross-fitted figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    arguments = parser.parse_args()
    images = data.load(arguments.data, arguments.work / "grey.npy")
    logit = out_of_fold(arguments.work, len(images.label))
    scope_threshold, scope = measure_scope(arguments.work)
    report = {
        "operating_point": vars(choose(logit, images.label)) | {"scope": scope_threshold},
        **measure(images, logit),
        "scope": scope,
    }
    (arguments.work / "figures.json").write_text(json.dumps(report, indent=1), encoding="utf-8")
    print(json.dumps(report, indent=1))


def out_of_fold(work: Path, images: int) -> Floats:
    """Return each image's logit from the one network that saw nobody of its person's group."""
    logit = np.full(images, np.nan)
    for fold in range(data.FOLDS):
        part = np.load(work / f"fold-{fold}.npz")
        logit[part["index"]] = part["logit"]
    if np.isnan(logit).any():
        raise SystemExit("not every fold is fitted")
    return logit


def choose(logit: Floats, label: Labels) -> OperatingPoint:
    """Fit Platt's two numbers, then set the threshold and the band on the same images."""
    platt = LogisticRegression(C=1e6).fit(logit[:, None], label)
    slope, intercept = float(platt.coef_[0, 0]), float(platt.intercept_[0])
    z = slope * logit + intercept
    cut = float(np.quantile(z[label == 0], SPECIFICITY_WANTED))
    reach = float(np.quantile(np.abs(z - cut), ABSTAIN_SHARE))
    threshold, low, high = (
        float(value) for value in 1 / (1 + np.exp(-np.array([cut, cut - reach, cut + reach])))
    )
    return OperatingPoint(slope, intercept, threshold, low, high)


def measure(images: data.Radiographs, logit: Floats) -> dict[str, Any]:
    """Return every figure of the card, each with its 95 % interval where it has one."""
    probability, above, abstained = cross_fitted(images, logit)
    label, subtype = images.label, images.subtype
    boot = _Bootstrap(images.person)

    def rate(chosen: NDArray[np.bool_], hit: NDArray[np.bool_]) -> dict[str, float]:
        return boot.interval(lambda rows: float(hit[rows][chosen[rows]].mean()))

    def auc(chosen: NDArray[np.bool_]) -> dict[str, float]:
        def figure(rows: NDArray[np.int64]) -> float:
            kept = rows[chosen[rows]]
            return auc_of(probability[kept], label[kept])

        return boot.interval(figure)

    sick, well, decided = label == 1, label == 0, ~abstained
    everything = np.ones(len(label), dtype=bool)
    return {
        "images": len(label),
        "with_finding": int(label.sum()),
        "persons": len(np.unique(images.person)),
        "auc": auc(everything),
        "auc_by_fold": [
            round(auc_of(logit[images.fold == fold], label[images.fold == fold]), 4)
            for fold in range(data.FOLDS)
        ],
        "sensitivity": rate(sick, above),
        "specificity": rate(well, ~above),
        "sensitivity_where_decided": rate(sick & decided, above),
        "specificity_where_decided": rate(well & decided, ~above),
        "abstained_share": round(float(abstained.mean()), 4),
        "brier": boot.interval(lambda rows: float(np.mean((probability[rows] - label[rows]) ** 2))),
        "expected_calibration_error": round(_calibration_error(probability, label), 4),
        "subgroups": {
            name: {
                "images": int((subtype == name).sum()),
                "auc_against_normal": auc(well | (subtype == name)),
                "sensitivity": rate(subtype == name, above),
            }
            for name in ("bacterial", "viral")
        },
    }


def measure_scope(work: Path) -> tuple[float, dict[str, Any]]:
    """Return the scope threshold, and the share refused of each kind of image with its count.

    Each fold's images are judged by its own head and the threshold of the other four folds. An
    unseen kind is judged by a head fitted without it, at that head's own threshold.
    """
    parts = [dict(np.load(work / f"scope-{fold}.npz")) for fold in range(data.FOLDS)]
    proper = [part.pop("proper") for part in parts]
    refused: dict[str, list[NDArray[np.bool_]]] = {}
    for fold, part in enumerate(parts):
        limit = scope_limit(np.concatenate(proper[:fold] + proper[fold + 1 :]))
        refused.setdefault("proper", []).append(proper[fold] > limit)
        for name, score in part.items():
            if name != "index":
                cut = 0.0 if name.startswith("unseen") else limit
                refused.setdefault(name, []).append(score > cut)
    shares = {name: np.concatenate(hits) for name, hits in refused.items()}
    return scope_limit(np.concatenate(proper)), {
        name: {"images": len(hits), "refused": round(float(hits.mean()), 4)}
        for name, hits in shares.items()
    }


def scope_limit(proper: Floats) -> float:
    """Return the scope score below which all but the agreed share of proper films lie."""
    return float(np.quantile(proper, 1 - SCOPE_LOST_SHARE))


def cross_fitted(
    images: data.Radiographs, logit: Floats
) -> tuple[Floats, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return probability, above the threshold, abstained: each from the other folds' choices."""
    probability = np.empty(len(logit))
    above, abstained = np.zeros(len(logit), bool), np.zeros(len(logit), bool)
    for fold in range(data.FOLDS):
        inside, out = images.fold != fold, images.fold == fold
        point = choose(logit[inside], images.label[inside])
        probability[out] = point.probability(logit[out])
        above[out] = probability[out] > point.threshold
        abstained[out] = (probability[out] >= point.low) & (probability[out] <= point.high)
    return probability, above, abstained


def auc_of(score: Floats, label: Labels) -> float:
    """Return the area under the ROC curve by ranks (Mann-Whitney), ties counted half."""
    rank, sick = rankdata(score), label == 1
    n_sick, n_well = int(sick.sum()), int((~sick).sum())
    return float((rank[sick].sum() - n_sick * (n_sick + 1) / 2) / (n_sick * n_well))


def _calibration_error(probability: Floats, label: Labels) -> float:
    """Return the mean gap between probability and frequency over ten bins of equal width."""
    bin_of = np.minimum((probability * BINS).astype(int), BINS - 1)
    gaps = [
        (bin_of == b).mean() * abs(probability[bin_of == b].mean() - label[bin_of == b].mean())
        for b in np.unique(bin_of)
    ]
    return float(sum(gaps))


class _Bootstrap:
    """Resample whole persons, so that many images of one child count as one draw."""

    def __init__(self, person: NDArray[np.str_]) -> None:
        names, number = np.unique(person, return_inverse=True)
        self._rows_of = [np.flatnonzero(number == n) for n in range(len(names))]

    def interval(self, figure: Callable[[NDArray[np.int64]], float]) -> dict[str, float]:
        rng = np.random.default_rng(SEED)
        persons = len(self._rows_of)
        draws = [
            figure(np.concatenate([self._rows_of[p] for p in rng.integers(0, persons, persons)]))
            for _ in range(RESAMPLES)
        ]
        low, high = np.percentile(draws, [2.5, 97.5])
        value = figure(np.concatenate(self._rows_of))
        return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}


if __name__ == "__main__":
    main()
