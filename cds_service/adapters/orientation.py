"""Read from a header which way rows and columns run over the patient.

A wrong letter at the edge of an image is worse than none: a header that says two things, or of its
frames different ones, says nothing here.

Source: DICOM PS3.3 C.7.6.1.1.1 (Patient Orientation), C.7.6.2.1.1 (Image Orientation),
C.7.6.16.2.4 (Plane Orientation), C.7.6.16.2.15 (Patient Orientation in Frame).
"""

from collections.abc import Iterator
from math import hypot, isfinite

from pydicom import Dataset
from pydicom.multival import MultiValue

from cds_service.domain.orientation import Orientation, orientation_of

_GROUPS = ("PlaneOrientationSequence", "PatientOrientationInFrameSequence")
_POSITIVE, _NEGATIVE = "LPH", "RAF"  # x, y and z of the patient
_SMALLEST_SHARE = 1e-4  # of a unit vector: less is no slant but a rounding
_TOLERANCE = 1e-2  # of a unit vector's length, and of a right angle's cosine


def stated_orientation(dataset: Dataset) -> Orientation | None:
    """Return the one orientation of all frames; None where none, or more than one, is stated.

    Cosines tell a slant that letters may leave out: their main directions must agree. An animal's
    letters have other meanings.
    """
    if dataset.get("AnatomicalOrientationType") == "QUADRUPED":
        return None
    try:
        levels = list(_levels(dataset))
        planes = {_of_cosines(level) for level in levels} - {None}
        letters = {_of_letters(level) for level in levels} - {None}
    except Exception:  # no analysis needs it: damage here is no reason to refuse the image
        return None
    stated = [one for one in (*planes, *letters) if one is not None]
    if len(planes) > 1 or len(letters) > 1 or len({_main(one) for one in stated}) != 1:
        return None
    return stated[0]


def _levels(dataset: Dataset) -> Iterator[Dataset]:
    """Yield where it may be stated: the object itself, its shared groups, each frame's own."""
    yield dataset
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or ())[:1]
    for item in (*shared, *(dataset.get("PerFrameFunctionalGroupsSequence") or ())):
        for keyword in _GROUPS:
            yield from list(item.get(keyword) or ())[:1]


def _of_letters(dataset: Dataset) -> Orientation | None:
    """Read what a person or a device wrote."""
    stated = dataset.get("PatientOrientation")
    if not isinstance(stated, MultiValue) or len(stated) != 2:
        return None
    row, column = (str(value).strip(" \0").upper() for value in stated)
    return orientation_of(row, column)


def _of_cosines(dataset: Dataset) -> Orientation | None:
    """Read two unit vectors at a right angle."""
    cosines = [float(value) for value in dataset.get("ImageOrientationPatient") or ()]
    row, column = cosines[:3], cosines[3:]
    if len(cosines) != 6 or not all(map(isfinite, cosines)):
        return None
    is_plane = all(abs(hypot(*vector) - 1) < _TOLERANCE for vector in (row, column))
    slant = sum(x * y for x, y in zip(row, column, strict=True))
    if not is_plane or abs(slant) >= _TOLERANCE:
        return None
    return orientation_of(_direction(row), _direction(column))


def _direction(vector: list[float]) -> str:
    """Name where a unit vector points, its largest part first."""
    parts = sorted(zip(vector, _POSITIVE, _NEGATIVE, strict=True), key=lambda part: -abs(part[0]))
    return "".join(
        positive if share > 0 else negative
        for share, positive, negative in parts
        if abs(share) > _SMALLEST_SHARE
    )


def _main(orientation: Orientation) -> str:
    return "".join(direction[0] for direction in orientation)
