"""Tell from a radiograph itself whether anything was in the beam.

An exposure of nothing, or of an even slab, is a slope with noise: the tube's heel effect and what
the detector's correction leaves. A paraboloid tells nearly all of it, and of a patient it does not.
How far both kinds are apart: docs/reference/fault-matrix.md, "Told by the image".

Source: measured on the films named there.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

_FILMS = frozenset({"CR", "DX"})
_SAMPLES = 512  # in each direction, at least: the same time for every size of film
_BLOCKS = 16  # in each direction: their means hold hardly any noise
# Of the image's deviation, what the paraboloid leaves of the blocks' means. Measured: empty
# exposures at most 0.054, films of patients at least 0.27.
_MOST_LEFT = 0.1

Floats = NDArray[np.float64]


def are_radiographs(modalities: frozenset[str]) -> bool:
    """Tell whether these are films of the whole beam, which never lack the patient's outline."""
    return modalities <= _FILMS


def looks_empty(grey: NDArray[Any]) -> bool:
    """Tell whether an image, (rows, columns), is no more than a slope with noise."""
    rows, columns = (max(1, side // _SAMPLES) for side in grey.shape)
    sample = grey[::rows, ::columns].astype(np.float32)
    return bool(_left_by_a_paraboloid(_means(sample)) <= _MOST_LEFT * sample.std())


def _means(sample: NDArray[np.float32]) -> Floats:
    """Return the mean of each block, (_BLOCKS ** 2,)."""
    down, across = (np.linspace(0, side, _BLOCKS + 1).astype(int) for side in sample.shape)
    sums = np.add.reduceat(np.add.reduceat(sample, across[:-1], axis=1), down[:-1], axis=0)
    means: Floats = (sums / np.outer(np.diff(down), np.diff(across))).ravel().astype(np.float64)
    return means


def _left_by_a_paraboloid(means: Floats) -> float:
    paraboloids = _paraboloids()
    return float((means - paraboloids @ (paraboloids.T @ means)).std())


@cache
def _paraboloids() -> Floats:
    """Return an orthonormal basis of all planes and paraboloids, (_BLOCKS ** 2, 6)."""
    y, x = (axis.ravel() for axis in np.mgrid[-1 : 1 : _BLOCKS * 1j, -1 : 1 : _BLOCKS * 1j])
    basis: Floats = np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)).Q
    return basis
