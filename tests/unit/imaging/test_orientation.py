"""Which way an image lies over the patient: as its header states it, and never guessed.

Source: DICOM PS3.3 C.7.6.1.1.1, C.7.6.2.1.1, C.7.6.16.2.4.
"""

from math import cos, sin, sqrt
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset
from pydicom.sequence import Sequence

from cds_service.adapters.pixels import DicomReader
from cds_service.domain.orientation import Orientation, edges_of
from tests.unit.imaging.dicom import a_film, as_file

AXIAL = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
CORONAL = [1.0, 0.0, 0.0, 0.0, 0.0, -1.0]
HALF = sqrt(0.5)


def orientation_in(**attributes: Any) -> Orientation | None:
    """What the header of a film with these attributes, and no other of that kind, says."""
    film = a_film()
    for keyword in ("PatientOrientation", "ImageOrientationPatient"):
        film.pop(keyword, None)
    for keyword, value in attributes.items():
        setattr(film, keyword, value)
    return DicomReader().header(as_file(film)).orientation


@pytest.mark.parametrize(
    "stated", [("L", "F"), ("R", "F"), ("A", "F"), ("P", "F"), ("LF", "PH"), ("LPH", "PRF")]
)
def test_the_letters_of_a_film_are_read_as_stated(stated: Orientation) -> None:
    assert orientation_in(PatientOrientation=list(stated)) == stated


@pytest.mark.parametrize("stated", [None, "", "L", ["L", ""], ["", "F"]])
def test_a_film_that_does_not_state_both_directions_states_none(stated: Any) -> None:
    assert orientation_in(PatientOrientation=stated) is None
    assert orientation_in() is None


@pytest.mark.parametrize(
    "stated",
    [
        ["X", "F"],
        ["LEFT", "FOOT"],
        ["L", "R"],
        ["L", "L"],
        ["LF", "RH"],
        ["LR", "F"],
        ["LL", "F"],
        ["L", "F", "P"],
        ["1", "0"],
        ["B1", "F"],
    ],
)
def test_letters_that_name_no_directions_are_not_shown(stated: list[str]) -> None:
    assert orientation_in(PatientOrientation=stated) is None


def test_letters_of_an_animal_are_not_taken_for_a_person_s() -> None:
    """PR is proximal there, and not posterior and right."""
    said = {"PatientOrientation": ["PR", "L"], "AnatomicalOrientationType": "QUADRUPED"}

    assert orientation_in(**said) is None


@pytest.mark.parametrize(
    ("cosines", "expected"),
    [
        (AXIAL, ("L", "P")),
        (CORONAL, ("L", "F")),
        ([0, 1, 0, 0, 0, -1], ("P", "F")),
        ([-1, 0, 0, 0, -1, 0], ("R", "A")),
        ([1, 0, 0, 0, cos(0.3), -sin(0.3)], ("L", "PF")),
        ([1, 0.00002, 0, -0.00002, 1, 0], ("L", "P")),
    ],
)
def test_the_cosines_of_a_slice_are_said_in_letters(
    cosines: list[float], expected: Orientation
) -> None:
    assert orientation_in(ImageOrientationPatient=cosines) == expected


@pytest.mark.parametrize(
    "cosines",
    [
        [0, 0, 0, 0, 0, 0],
        [1, 0, 0, 1, 0, 0],
        [2, 0, 0, 0, 1, 0],
        [1, 0, 0],
        [1, 0, 0, HALF, HALF, 0],
        ["1e300", 0, 0, 0, 1, 0],
    ],
)
def test_cosines_that_are_no_plane_say_nothing(cosines: list[Any]) -> None:
    assert orientation_in(ImageOrientationPatient=cosines) is None


@pytest.mark.parametrize(
    ("keyword", "vr", "lie"),
    [
        ("PatientOrientation", "US", [1, 2]),
        ("PatientOrientation", "SQ", [Dataset(), Dataset()]),
        ("ImageOrientationPatient", "LO", ["one", "0", "0", "0", "1", "0"]),
        ("ImageOrientationPatient", "UN", b"1\\0\\0"),
        ("ImageOrientationPatient", "SQ", [Dataset()]),
        ("PerFrameFunctionalGroupsSequence", "SQ", [Dataset()]),
    ],
)
def test_an_orientation_that_cannot_be_read_refuses_no_image(
    keyword: str, vr: str, lie: Any
) -> None:
    film = a_film()
    film.add_new(keyword, vr, lie)
    if keyword.endswith("GroupsSequence"):
        film[keyword].value[0].add_new("PlaneOrientationSequence", "LO", "none")

    header = DicomReader().header(as_file(film))

    assert header.orientation is None and header.modality == "DX"


def test_a_header_that_says_two_things_says_nothing() -> None:
    mirrored = {"PatientOrientation": ["R", "P"], "ImageOrientationPatient": AXIAL}
    agreeing = {"PatientOrientation": ["L", "P"], "ImageOrientationPatient": AXIAL}

    assert orientation_in(**mirrored) is None
    assert orientation_in(**agreeing) == ("L", "P")


def test_the_frames_of_an_enhanced_object_are_lettered_only_where_all_lie_the_same_way() -> None:
    same = Sequence([a_plane(AXIAL), a_plane(AXIAL)])
    turned = Sequence([a_plane(AXIAL), a_plane(CORONAL)])

    assert orientation_in(SharedFunctionalGroupsSequence=Sequence([a_plane(AXIAL)])) == ("L", "P")
    assert orientation_in(PerFrameFunctionalGroupsSequence=same) == ("L", "P")
    assert orientation_in(PerFrameFunctionalGroupsSequence=turned) is None


def a_plane(cosines: list[float]) -> Dataset:
    plane, item = Dataset(), Dataset()
    plane.ImageOrientationPatient = cosines
    item.PlaneOrientationSequence = Sequence([plane])
    return item


def test_the_opposite_of_each_direction_lies_at_the_other_edge() -> None:
    assert edges_of(("L", "F")) == {"left": "R", "right": "L", "top": "H", "bottom": "F"}
    assert edges_of(("LF", "PH")) == {"left": "RH", "right": "LF", "top": "AF", "bottom": "PH"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [("CTImage.dcm", ("L", "P")), ("CT0012.fragmented_no_bot_jpeg_baseline.51.dcm", ("R", "P"))],
)
def test_real_slices_state_theirs(name: str, expected: Orientation, shared_data: Path) -> None:
    data = (shared_data / "dicom" / name).read_bytes()

    assert DicomReader().header(data).orientation == expected
