"""Hiding the part of the image that carries the score lowers the score."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from models.occlude import BATCH, PARTS, drops_of


def mean_of(part: tuple[slice, slice], layout: str) -> Callable[..., NDArray[np.float64]]:
    """A model whose score is the mean of one part, and a second one with the opposite score."""

    def run(batch: NDArray[np.float32]) -> NDArray[np.float64]:
        grey = batch[:, 0] if layout == "NCHW" else batch[..., 0]
        mean = grey[(slice(None), *part)].mean(axis=(1, 2)).astype(np.float64)
        return np.stack([mean, -mean], axis=1)

    return run


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
def test_the_part_that_carries_the_score_drops_it(layout: str) -> None:
    image = np.zeros((70, 70), np.float32)
    image[:20, 50:] = 1.0  # the upper right corner: row 0 and 1, columns 5 and 6 of 7
    tensor = image[np.newaxis, np.newaxis] if layout == "NCHW" else image[np.newaxis, ..., None]
    run = mean_of((slice(0, 20), slice(50, 70)), layout)

    drops = drops_of(tensor, layout, run(tensor)[0], run)

    assert drops.shape == (2, PARTS, PARTS)
    assert np.allclose(drops[0, :2, 5:], 0.25) and drops[0].sum() == pytest.approx(1.0)
    assert np.allclose(drops[1], -drops[0])


def test_few_images_are_in_memory_at_once() -> None:
    sizes = []

    def run(batch: NDArray[np.float32]) -> NDArray[np.float64]:
        sizes.append(len(batch))
        return np.zeros((len(batch), 1))

    drops_of(np.zeros((1, 3, 30, 30), np.float32), "NCHW", np.zeros(1), run)

    assert max(sizes) == BATCH and sum(sizes) == PARTS**2
