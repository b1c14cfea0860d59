"""Tell whether text is written across the top or the bottom of an image, header or no header.

A line of letters goes from black to white and back many times in one row; a side marker, a cable
or a bone edge does not. How often that is right: docs/reference/fault-matrix.md, "Told by the
image". Text is no reason to refuse a film, and much of it is not found: it is noted.

Source: DICOM PS3.3 C.7.6.1.1 (Burned In Annotation), which many devices leave out.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_BAND = 8  # an eighth of the height, at the top and at the bottom
_ROWS = 24  # looked at in each band
_STEEP = 0.6  # of the range, between neighbours
_STEPS = 8  # in one row: four strokes


def shows_text(grey: NDArray[Any]) -> bool:
    """Tell whether a row of either band has as many steep steps as letters make.

    grey   (rows, columns)
    """
    height = max(1, grey.shape[0] // _BAND)
    step = max(1, height // _ROWS)
    for band in (grey[:height:step], grey[-height::step]):
        values = band.astype(np.float32)
        limit = _STEEP * np.ptp(values)
        steps = np.diff(values, axis=1, prepend=values[:, :1])
        if limit > 0 and np.count_nonzero(np.abs(steps, out=steps) > limit, axis=1).max() >= _STEPS:
            return True
    return False
