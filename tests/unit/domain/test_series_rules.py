"""Which series a model takes: how many images, which is the best, and what is known before."""

from datetime import UTC, date, datetime
from itertools import permutations

import pytest

from cds_service.domain.guards import age_in_days
from cds_service.domain.rule import Comparison
from cds_service.domain.series_rules import (
    Candidate,
    SeriesRules,
    decide_series,
    facts_before,
    facts_read,
)
from cds_service.domain.study import HeaderOverrides, SeriesReference
from tests.builders import a_patient, a_study
from tests.fakes.imaging import a_header

NOBODY = HeaderOverrides()


def a_series(uid: str, images: int = 1, number: int = 1, **facts: str | float) -> Candidate:
    return Candidate(uid, number, tuple(range(images)), facts)


def taken(rules: SeriesRules, *series: Candidate) -> list[str]:
    return [one.series.uid for one in decide_series(rules, series) if one.is_taken]


@pytest.mark.parametrize(
    ("images", "why"),
    [
        (0, "no image of it fits"),
        (1, "1 of at least 2 images fit"),
        (2, "it fits"),
        (3, "it fits"),
        (4, "4 images fit, more than 3"),
    ],
)
def test_a_series_with_too_few_or_too_many_images_is_left_out(images: int, why: str) -> None:
    rules = SeriesRules(min_images=2, max_images=3)

    (decision,) = decide_series(rules, [a_series("1", images)])

    assert decision.why == why and decision.is_taken is (why == "it fits")


def test_every_series_that_fits_is_taken_unless_the_best_is_asked_for() -> None:
    two = (a_series("1"), a_series("2"))

    assert taken(SeriesRules(), *two) == ["1", "2"]
    assert taken(SeriesRules(only_best=True), *two) == ["1"]


def test_the_first_preference_weighs_most_then_images_then_numbers() -> None:
    rules = SeriesRules(
        only_best=True,
        prefer=(Comparison("ViewPosition", one_of=("PA",)), Comparison("Rows", least=2000)),
    )
    front = a_series("front", 1, 5, ViewPosition="PA", Rows=1000.0)
    large = a_series("large", 9, 1, ViewPosition="AP", Rows=3000.0)
    many = a_series("many", 9, 4, ViewPosition="AP", Rows=1000.0)
    first = a_series("first", 9, 3, ViewPosition="AP", Rows=1000.0)
    ordered = [front, large, first, many]

    while ordered:
        for series in permutations(ordered):
            assert taken(rules, *series) == [ordered[0].uid]
        ordered.pop(0)


def test_a_silent_image_is_not_excluded_before_it_is_read_and_is_not_taken_after() -> None:
    rules = SeriesRules(Comparison("Manufacturer", one_of=("ACME",)))

    assert not rules.excludes({}) and not rules.takes({})
    assert rules.excludes({"Manufacturer": "Other"}) and rules.takes({"Manufacturer": "acme"})


def test_the_ehr_states_modality_region_sex_and_age() -> None:
    study = a_study(started=datetime(2026, 1, 2, tzinfo=UTC), modalities=("DX", "SR"))
    patient = a_patient(birth_date=date(2023, 1, 2), sex="female")
    series = SeriesReference("1.2", "DX", ("51185008",), 1)

    facts = dict(facts_before(study, series, patient))

    assert facts.pop("PatientAge") == pytest.approx(3, abs=0.01)
    assert facts == {"Modality": "DX", "BodyPartExamined": "CHEST", "PatientSex": "F"}
    assert facts_before(a_study(modalities=("DX", "SR")), None, None) == {}


def test_a_birth_date_that_a_tool_filled_in_is_no_age() -> None:
    header = a_header(
        patient_age_days=None, study_date=date(2026, 1, 2), patient_birth_date=date(1900, 1, 1)
    )

    assert "PatientAge" not in facts_read(header, NOBODY, None)


def test_a_header_says_more_and_the_ehr_fills_what_it_omits() -> None:
    header = a_header(
        view="AP",
        patient_age_days=None,
        study_date=date(2026, 1, 2),
        elements={"Manufacturer": "ACME", "ViewPosition": "", "KVP": 60.0},
    )
    patient = a_patient(birth_date=date(2023, 1, 2), sex="male")

    facts = facts_read(header, NOBODY, patient)

    assert facts["PatientAge"] == pytest.approx(3, abs=0.01) and facts["PatientSex"] == "M"
    assert (facts["ViewPosition"], facts["Manufacturer"], facts["KVP"]) == ("AP", "ACME", 60.0)


@pytest.mark.parametrize("stated", ["018Y", "216M"])
def test_an_age_stated_in_whole_years_is_at_least_that_age(stated: str) -> None:
    header = a_header(patient_age_days=age_in_days(stated))

    assert facts_read(header, NOBODY, None)["PatientAge"] == 18


@pytest.mark.parametrize("year", range(2004, 2008))
def test_a_patient_is_eighteen_from_the_eighteenth_birthday(year: int) -> None:
    grown_up = SeriesRules(Comparison("PatientAge", least=18))
    study = a_study(started=datetime(year + 18, 3, 1, tzinfo=UTC))
    born = a_patient(birth_date=date(year, 3, 1)), a_patient(birth_date=date(year, 3, 8))

    said = [grown_up.excludes(facts_before(study, None, one)) for one in born]

    assert said == [False, True]
