"""Show where the score comes from: the class activation map, and the regions that carry it.

The model's score is the mean of its activation map (pooling and the linear layer commute), so the
map is the score itself spread over the image, not an estimate made beside it.

Source: Zhou et al. 2016, "Learning Deep Features for Discriminative Localization",
doi 10.1109/CVPR.2016.319.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["FULL_HEAT_DROP", "Region", "heat_of", "hot_regions", "upsample"]

FloatMap = NDArray[np.float32]

# A map whose hottest cell stays below this is drawn cool: without a floor, the faintest noise of
# a negative image would be stretched to the full scale and look like a finding.
FULL_HEAT_LOGIT = 12.0
FULL_HEAT_DROP = 1.0  # the same for a whole logit that drops when a part is hidden
HOT = 0.5  # of the scale: where a region begins
GRID = 128  # cells a side on which regions are traced
SMALLEST_SHARE = 0.002  # of the image: smaller specks are not shown as regions


@dataclass(frozen=True, slots=True)
class Region:
    """One hot region, in pixels of the image; the upper left corner of the image is 0, 0."""

    left: int
    top: int
    width: int
    height: int
    outline: tuple[tuple[float, float], ...]  # (x, y) in order around the region, not closed
    peak: float  # the hottest value inside, 0..1


def heat_of(activation: FloatMap, full_heat: float = FULL_HEAT_LOGIT) -> FloatMap:
    """Scale an activation map for display.

    activation  (h, w), local logits, or drops of the logit; above 0 speaks for the finding
    full_heat   the value that is drawn hottest, unless the map has a higher one
    returns     (h, w), float32, 0..1; 0 where nothing speaks for it
    """
    positive = np.maximum(activation.astype(np.float32), 0.0)
    return (positive / max(float(positive.max()), full_heat)).astype(np.float32)


def upsample(heat: FloatMap, rows: int, columns: int) -> FloatMap:
    """Spread a small map over the whole image, bilinearly, with pixel centres aligned.

    returns  (rows, columns), float32
    """
    down = _interpolation(heat.shape[0], rows)
    across = _interpolation(heat.shape[1], columns)
    return (down @ heat @ across.T).astype(np.float32)


def _interpolation(cells: int, pixels: int) -> FloatMap:
    """Return the (pixels, cells) weights of linear interpolation; beyond the edge it is flat."""
    centre = np.clip((np.arange(pixels) + 0.5) * cells / pixels - 0.5, 0, cells - 1)
    below = np.minimum(centre.astype(int), max(cells - 2, 0))
    weights = np.zeros((pixels, cells), dtype=np.float32)
    weights[np.arange(pixels), below] = 1 - (centre - below)
    weights[np.arange(pixels), np.minimum(below + 1, cells - 1)] += centre - below
    return weights


def hot_regions(heat: FloatMap, rows: int, columns: int) -> tuple[Region, ...]:
    """Return the connected regions at or above half of the scale, the hottest first.

    heat     (h, w), 0..1
    rows, columns  the size of the image whose pixels the regions are given in
    """
    fine = upsample(heat, GRID, GRID)
    left_over = fine >= HOT
    regions = []
    while left_over.any():
        hottest = np.unravel_index(np.argmax(np.where(left_over, fine, -1.0)), fine.shape)
        part = _connected(left_over, (int(hottest[0]), int(hottest[1])))
        left_over = left_over & ~part
        if part.mean() >= SMALLEST_SHARE:
            regions.append(_region(part, float(fine[hottest]), rows, columns))
    return tuple(regions)


def _connected(mask: NDArray[np.bool_], start: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the part of the mask that can be reached from one cell in steps along the axes."""
    part = np.zeros_like(mask)
    part[start] = True
    while True:
        grown = part.copy()
        grown[1:] |= part[:-1]
        grown[:-1] |= part[1:]
        grown[:, 1:] |= part[:, :-1]
        grown[:, :-1] |= part[:, 1:]
        grown &= mask
        if (grown == part).all():
            return part
        part = grown


def _region(part: NDArray[np.bool_], peak: float, rows: int, columns: int) -> Region:
    """Put one mask on the grid into pixels of the image."""
    down, across = rows / GRID, columns / GRID
    hot_rows, hot_columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    top, bottom = int(hot_rows[0] * down), int(np.ceil((hot_rows[-1] + 1) * down))
    left, right = int(hot_columns[0] * across), int(np.ceil((hot_columns[-1] + 1) * across))
    outline = tuple((x * across, y * down) for x, y in _outline(part))
    return Region(left, top, right - left, bottom - top, outline, peak)


def _outline(part: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the corners (x, y) of the outer border of one connected mask, clockwise.

    Each border edge is stored by its starting corner and walked with the mask on its right; where
    two cells touch at a corner only, the walk turns right, and so stays outside of both.
    """
    padded = np.pad(part, 1)
    edges: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for shift, start, step in (
        (padded[:-2, 1:-1], (0, 0), (1, 0)),  # nothing above: walk right along the top
        (padded[1:-1, 2:], (1, 0), (0, 1)),  # nothing to the right: walk down
        (padded[2:, 1:-1], (1, 1), (-1, 0)),  # nothing below: walk left
        (padded[1:-1, :-2], (0, 1), (0, -1)),  # nothing to the left: walk up
    ):
        for y, x in np.argwhere(part & ~shift):
            edges.setdefault((int(x) + start[0], int(y) + start[1]), []).append(step)
    y, x = np.argwhere(part)[0]
    first = corner = (int(x), int(y))
    heading, corners = (0, -1), []
    while True:
        choices = edges[corner]
        step = next((s for s in choices if s == (-heading[1], heading[0])), choices[0])
        if step != heading:
            corners.append(corner)
        corner, heading = (corner[0] + step[0], corner[1] + step[1]), step
        if corner == first:
            return corners
