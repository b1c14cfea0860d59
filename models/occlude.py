"""Find where a score comes from by hiding parts of the image, for models without feature maps.

A part matters as far as the logit drops while the part shows what lies around the image instead.
It needs no gradient and no look inside, at the price of one more run for each part, and it is
coarser than a class activation map.

Source: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks",
doi 10.1007/978-3-319-10590-1_53.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["PARTS", "drops_of"]

FloatArray = NDArray[np.float32]

PARTS = 7  # a side
BATCH = 8  # hidden images that are in memory at once


def drops_of(
    tensor: FloatArray,
    layout: str,
    logits: NDArray[np.float64],
    run: Callable[[FloatArray], NDArray[np.float64]],
) -> FloatArray:
    """Return how far each logit drops while each part of the image is hidden.

    tensor   the model's input for one image, of the layout "NCHW" or "NHWC"
    logits   (columns,), of the whole image
    run      gives the logits (N, columns) of a batch
    returns  (columns, PARTS, PARTS), float32; below 0 where hiding raises the logit
    """
    across = (1, 2) if layout == "NHWC" else (2, 3)
    fill = np.median(tensor, axis=across, keepdims=True)
    places = [(row, column) for row in range(PARTS) for column in range(PARTS)]
    drops = np.empty((len(logits), PARTS, PARTS), dtype=np.float32)
    for start in range(0, len(places), BATCH):
        batch = places[start : start + BATCH]
        hidden = np.concatenate([_without(tensor, across, place, fill) for place in batch])
        for (row, column), answer in zip(batch, run(hidden), strict=True):
            drops[:, row, column] = logits - answer
    return drops


def _without(
    tensor: FloatArray, across: tuple[int, int], place: tuple[int, int], fill: FloatArray
) -> FloatArray:
    """Return the image with one part replaced by its median."""
    part: list[slice] = [slice(None)] * tensor.ndim
    for axis, number in zip(across, place, strict=True):
        size = tensor.shape[axis]
        part[axis] = slice(size * number // PARTS, size * (number + 1) // PARTS)
    hidden = tensor.copy()
    hidden[tuple(part)] = fill
    return hidden
