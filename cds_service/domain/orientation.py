"""Which way the rows and the columns of an image run over the patient, in the standard's letters.

Source: DICOM PS3.3 C.7.6.1.1.1 (Patient Orientation).
"""

# Towards increasing columns, and towards increasing rows: ("L", "F"), ("LF", "PH").
Orientation = tuple[str, str]

_AXES = ("LR", "PA", "HF")
_OPPOSITES = str.maketrans("LRPAHF", "RLAPFH")


def orientation_of(row: str, column: str) -> Orientation | None:
    """Return the pair of directions; None unless both are, and are not of one line.

    A direction is one to three letters, the main one first, each of another axis.
    """
    axes = [_axes_of(direction) for direction in (row, column)]
    if not all(axes) or column in (row, opposite(row)):
        return None
    return row, column


def opposite(direction: str) -> str:
    """Return the direction that leads away from this one: "PH" of "AF"."""
    return direction.translate(_OPPOSITES)


def edges_of(orientation: Orientation) -> dict[str, str]:
    """Return the part of the patient that lies towards each edge of the image."""
    row, column = orientation
    return {"left": opposite(row), "right": row, "top": opposite(column), "bottom": column}


def _axes_of(direction: str) -> set[str]:
    """Return the axes of a direction; none where it is no direction."""
    axes = [axis for letter in direction for axis in _AXES if letter in axis]
    is_direction = len(axes) == len(direction) == len(set(axes))
    return set(axes) if is_direction else set()
