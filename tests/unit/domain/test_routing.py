"""A study goes to the first enabled model whose intended use fits what is known."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from cds_service.domain.routing import Route, routes_of
from cds_service.domain.rule import Comparison, Not, Rule
from cds_service.domain.series_rules import SeriesRules
from cds_service.domain.study import PatientFacts, SeriesReference, StudyReference
from tests.builders import a_model, a_patient, a_study
from tests.fakes.imaging import a_use

STARTED = datetime(2026, 1, 2, tzinfo=UTC)
CHILD = a_patient(birth_date=date(2023, 1, 1))
ADULT = a_patient(birth_date=date(1966, 1, 1))
FILM = a_study(started=STARTED, modalities=("DX",))
ADULTS = Route(a_model(id="adults"), a_use(min_age_days=18 * 366, max_age_days=120 * 366))
CHILDREN = Route(a_model(id="children"), a_use())
ANYTHING = Route(
    a_model(id="anything"),
    a_use(
        modalities=frozenset({"CT", "DX"}),
        body_parts=frozenset(),
        views=frozenset(),
        min_age_days=0,
        max_age_days=130 * 366,
    ),
)


@pytest.mark.parametrize(
    ("patient", "chosen"), [(CHILD, "children"), (ADULT, "adults"), (None, "adults")]
)
def test_the_age_chooses_and_an_unknown_age_excludes_nothing(
    patient: PatientFacts | None, chosen: str
) -> None:
    assert routes_of([ADULTS, CHILDREN], FILM, patient)[0].model.id == chosen


def test_of_two_that_fit_the_first_is_asked() -> None:
    assert routes_of([CHILDREN, ANYTHING], FILM, CHILD)[0].model.id == "children"
    assert routes_of([ANYTHING, CHILDREN], FILM, CHILD)[0].model.id == "anything"


@pytest.mark.parametrize(
    "study",
    [
        a_study(started=STARTED, modalities=("CT",)),
        a_study(
            started=STARTED,
            modalities=("DX",),
            series=(SeriesReference("1.2.3", "DX", ("69536005",), 1),),  # the head
        ),
    ],
    ids=["modality", "body site"],
)
def test_what_the_study_says_of_itself_chooses(study: StudyReference) -> None:
    assert routes_of([CHILDREN, ANYTHING], study, CHILD)[0].model.id == "anything"


@pytest.mark.parametrize(
    ("rule", "chosen"),
    [
        (Comparison("PatientSex", one_of=("F",)), "anything"),
        (Not(Comparison("PatientSex", one_of=("F",))), "ruled"),
        (Comparison("Modality", one_of=("CT",)), "anything"),
        (Comparison("Manufacturer", one_of=("ACME",)), "ruled"),  # nobody knows yet
    ],
)
def test_a_rule_excludes_only_by_what_the_ehr_states(rule: Rule, chosen: str) -> None:
    ruled = Route(a_model(id="ruled"), a_use(series=SeriesRules(rule)))
    boy = a_patient(birth_date=date(2023, 1, 1), sex="male")

    assert routes_of([ruled, ANYTHING], FILM, boy)[0].model.id == chosen


def test_a_rule_is_held_against_each_series() -> None:
    ruled = Route(a_model(id="ruled"), a_use(series=SeriesRules(Comparison("Modality", ("DX",)))))
    series = (SeriesReference("1.1", "SR"), SeriesReference("1.2", "DX"))
    mixed = a_study(started=STARTED, modalities=("DX", "SR"), series=series)

    assert routes_of([ruled, ANYTHING], mixed, CHILD)[0].model.id == "ruled"
    only_first = replace(mixed, series=series[:1])
    assert routes_of([ruled, ANYTHING], only_first, CHILD)[0].model.id == "anything"


def test_where_none_fits_the_first_says_why() -> None:
    mri = a_study(started=STARTED, modalities=("MR",))

    assert routes_of([CHILDREN, ANYTHING], mri, CHILD)[0].model.id == "children"
