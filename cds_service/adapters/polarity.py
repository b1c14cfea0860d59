"""Tell from a frontal chest radiograph itself whether black and white are exchanged.

The mediastinum is brighter than the lungs, and than the air beside the neck, however the film was
exposed. How often that fails on real films: docs/reference/fault-matrix.md, "Told by the image".

Source: DICOM PS3.3 C.7.6.3.1.2 (Photometric Interpretation); measured on the films named there.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cds_service.domain.guards import IntendedUse

_GRID = 64  # points in each direction: the same time for every size of film
_MEDIASTINUM = np.s_[16:56, 28:36]
_LUNGS = (np.s_[20:44, 12:26], np.s_[20:44, 38:52])
_UPPER_CORNERS = (np.s_[:14, :8], np.s_[:14, -8:])
_FILMS = frozenset({"CR", "DX"})
_FRONTAL = frozenset({"AP", "PA"})


def is_frontal_chest(use: IntendedUse) -> bool:
    """Tell whether a model reads frontal chest radiographs and nothing else."""
    return (
        use.modalities <= _FILMS
        and use.body_parts == {"CHEST"}
        and bool(use.views)
        and use.views <= _FRONTAL
    )


def looks_negative(grey: NDArray[Any]) -> bool:
    """Tell whether lungs and corners both are brighter than what lies between them.

    grey   (rows, columns), larger is meant to be brighter
    """
    rows, columns = (_centres(side) for side in grey.shape)
    sample = grey[np.ix_(rows, columns)].astype(np.float32)
    middle = sample[_MEDIASTINUM].mean()
    return all(
        np.mean([sample[part].mean() for part in parts]) > middle
        for parts in (_LUNGS, _UPPER_CORNERS)
    )


def _centres(side: int) -> NDArray[np.intp]:
    return ((np.arange(_GRID) + 0.5) * side / _GRID).astype(np.intp)
