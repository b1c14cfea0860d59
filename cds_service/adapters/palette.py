"""Palette colour that is grey: each index to its grey level.

Source: DICOM PS3.3 C.7.9 (Palette Color Lookup Table), C.7.6.3.1.5 and .6 (descriptor, data).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from cds_service.adapters.codestream import damaged
from cds_service.errors import StudyOutOfScope

_COLOURS = ("Red", "Green", "Blue")
_TABLE = "PaletteColorLookupTable"

Values = NDArray[np.integer[Any]]


def grey_levels(indices: Values, dataset: Dataset) -> Values:
    """Look every index up; the three tables must agree wherever an index leads.

    Raises StudyOutOfScope "colour" for a colour, for a table in segments (a few bytes of which
    unfold without bound) and where there is none, UnreadableInstance for one of a wrong length.
    """
    tables, firsts = zip(*(_table(dataset, colour) for colour in _COLOURS), strict=True)
    if len(set(firsts)) > 1 or len({len(table) for table in tables}) > 1:
        raise damaged()
    red, green, blue = tables
    first, last = int(firsts[0]), len(red) - 1
    places = np.clip(indices.astype(np.int32) - first, 0, last)
    used = np.zeros(len(red), bool)
    used[places] = True
    if not (np.array_equal(red[used], green[used]) and np.array_equal(red[used], blue[used])):
        raise StudyOutOfScope("colour", "it is a colour image")
    levels: Values = red[places]
    return levels


def _table(dataset: Dataset, colour: str) -> tuple[Values, int]:
    """Return one table and the first index that it maps."""
    data = dataset.get(f"{colour}{_TABLE}Data")
    descriptor = dataset.get(f"{colour}{_TABLE}Descriptor")
    if not isinstance(data, bytes) or descriptor is None:
        raise StudyOutOfScope("colour", "it is not a grey image")
    entries, first, bits = (int(value) for value in descriptor)
    entries = entries or 1 << 16
    is_wide = bits == 16 and len(data) == 2 * entries
    if not is_wide and len(data) not in (entries, entries + entries % 2):
        raise damaged()
    return np.frombuffer(data, "<u2" if is_wide else np.uint8)[:entries], first
