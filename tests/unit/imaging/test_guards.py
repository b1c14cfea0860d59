"""The guards: what a header must say before a pixel is decoded."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.domain.guards import age_in_days, check_header
from cds_service.domain.study import HeaderOverrides
from cds_service.errors import StudyOutOfScope, StudyUnusable, UnreadableInstance
from tests.builders import a_patient
from tests.fakes.imaging import a_header, a_use

NOTHING = HeaderOverrides()
CHILD = a_patient(birth_date=date(2022, 6, 1))


def refusal(overrides: HeaderOverrides = NOTHING, facts: object = None, **header: object) -> str:
    """Return code and text of the refusal, "" when the image passes."""
    try:
        check_header(a_header(**header), a_use(), overrides, facts)  # type: ignore[arg-type]
    except StudyUnusable as error:
        return f"{error.code}: {error.text}"
    return ""


def test_a_frontal_chest_film_of_a_child_passes() -> None:
    assert refusal() == ""


def test_a_silent_body_part_passes() -> None:
    assert refusal(body_part="") == ""


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ({"modality": "CT"}, "modality: made for frontal chest X-rays, this is a CT"),
        ({"modality": ""}, "modality-unknown: made for frontal chest X-rays, the kind of image"),
        ({"body_part": "HIP"}, "body-part: made for frontal chest X-rays, this shows hip"),
        ({"view": "LL"}, "view: made for frontal chest X-rays, this is a lateral view"),
        ({"view": "RLO"}, "view: made for frontal chest X-rays, this is another view"),
        ({"view": ""}, "view-unknown: made for frontal chest X-rays, the view is not stated"),
        ({"patient_age_days": 22_300}, "age: made for children aged 1-5, this patient is 61"),
        (
            {"patient_age_days": 200},
            "age: made for children aged 1-5, this patient is 6 months old",
        ),
        ({"patient_age_days": 1}, "age: made for children aged 1-5, this patient is 1 day old"),
        ({"patient_age_days": None}, "age-unknown: made for children aged 1-5"),
        ({"rows": 0}, "no-image: it holds no image"),
        ({"rows": 3, "columns": 3}, "too-small: the image is too small"),
    ],
)
def test_what_the_model_is_not_made_for_is_refused(
    header: dict[str, object], expected: str
) -> None:
    assert refusal(**header).startswith(expected)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        *(("006Y", "6"), ("007Y", "7"), ("018Y", "18"), ("061Y", "61"), ("072M", "6")),
        *(("011M", "11 months old"), ("001M", "1 month old"), ("000Y", "0 days old")),
    ],
)
def test_an_age_is_said_as_it_was_stated(stated: str, said: str) -> None:
    text = refusal(patient_age_days=age_in_days(stated))

    assert text == f"age: made for children aged 1-5, this patient is {said}"


@pytest.mark.parametrize("year", range(2016, 2020))
def test_a_child_is_six_on_the_sixth_birthday(year: int) -> None:
    silent = {"patient_age_days": None, "study_date": date(year + 6, 3, 1)}

    text = refusal(patient_birth_date=date(year, 3, 1), **silent)

    assert text.endswith("this patient is 6")


@pytest.mark.parametrize("field", ["modality", "body_part", "view"])
def test_free_text_of_a_header_is_not_repeated(field: str) -> None:
    assert "DOE" not in refusal(**{field: "DOE^JANE"}).upper()


def test_what_is_known_to_be_wrong_comes_before_what_is_unknown() -> None:
    assert refusal(view="", patient_age_days=22_300).startswith("age:")


def test_an_override_counts_only_where_the_header_is_silent() -> None:
    given_by_hand = HeaderOverrides(patient_age_days=1200, view="AP")

    assert refusal(given_by_hand, view="", patient_age_days=None) == ""
    assert refusal(given_by_hand, view="LL").startswith("view:")
    assert refusal(given_by_hand, patient_age_days=22_300).startswith("age:")


def test_the_age_comes_from_the_ehrs_birth_date_on_the_day_of_the_study() -> None:
    silent = {"patient_age_days": None, "study_date": date(2026, 1, 2)}

    assert refusal(facts=CHILD, **silent) == ""
    old = a_patient(birth_date=date(1965, 1, 1))
    assert refusal(facts=old, **silent).endswith("this patient is 61")


def test_an_age_outside_refuses_whichever_side_states_it() -> None:
    old = a_patient(birth_date=date(1965, 1, 1))

    assert refusal(facts=old, study_date=date(2026, 1, 2)).startswith("age:")


def test_a_filler_birth_date_is_no_age() -> None:
    header = {"patient_age_days": None, "study_date": date(2026, 1, 2)}

    assert refusal(patient_birth_date=date(1900, 1, 1), **header).startswith("age-unknown:")
    assert refusal(patient_birth_date=date(2022, 1, 1), **header) == ""


@pytest.mark.parametrize(
    ("text", "days"),
    [("003Y", 1095), ("018M", 547), ("040W", 280), ("010D", 10), (" 3y ", 1095), ("000D", 0)],
)
def test_an_age_string_is_read_in_days(text: str, days: int) -> None:
    assert age_in_days(text) == days


@given(st.text(max_size=6))
def test_any_other_text_is_no_age(text: str) -> None:
    days = age_in_days(text)

    assert days is None or 0 <= days <= 999 * 366


def test_the_branches_of_the_tree_are_kept() -> None:
    with pytest.raises(UnreadableInstance):
        check_header(a_header(rows=0), a_use(), NOTHING)
    with pytest.raises(StudyOutOfScope):
        check_header(a_header(view="LL"), a_use(), NOTHING)


def test_the_checks_that_were_made_are_named_and_a_silent_header_claims_none() -> None:
    whole = check_header(a_header(), a_use(), NOTHING)
    silent = check_header(a_header(body_part=""), a_use(), NOTHING)

    assert whole == ("modality", "body-part", "view", "age", "size")
    assert silent == ("modality", "view", "age", "size")


CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"sop_class": CAPTURE, "conversion_type": "WSD"}, "secondary-capture"),
        ({"sop_class": f"{CAPTURE}.4", "conversion_type": "DV"}, "secondary-capture"),
        ({"sop_class": CAPTURE, "conversion_type": "DF"}, ""),
        ({"is_quality_control": True}, "quality-control"),
        ({"has_burned_in_text": True}, "burned-in-text"),
    ],
    ids=str,
)
def test_what_is_no_image_of_a_patient_as_it_was_taken_is_refused_before_it_is_decoded(
    header: dict[str, object], code: str
) -> None:
    assert refusal(**header).partition(":")[0] == code
