"""Which series of a study are fetched, and how many instances the EHR says they have."""

import pytest

from cds_service.domain.study import SeriesReference, series_for, stated_instances
from tests.builders import a_study

FILM = SeriesReference("1.2.1", "DX", instance_count=2)
CT = SeriesReference("1.2.2", "CT", instance_count=400)
SILENT = SeriesReference("1.2.3", "")
FILMS = frozenset({"CR", "DX"})


def test_a_series_of_another_modality_is_not_fetched() -> None:
    study = a_study(series=(FILM, CT), series_count=2, instance_count=402)

    assert series_for(study, FILMS) == ("1.2.1",) and stated_instances(study, FILMS) == 2


def test_a_series_whose_modality_is_not_stated_may_be_wanted() -> None:
    study = a_study(series=(FILM, CT, SILENT), series_count=3, instance_count=403)

    assert series_for(study, FILMS) == ("1.2.1", "1.2.3")
    assert stated_instances(study, FILMS) is None  # one of them states no number


@pytest.mark.parametrize(
    ("series", "count"),
    [((FILM,), 1), ((CT,), 1), ((), 2), ((FILM, CT), 3)],
    ids=["all are", "none is", "not listed", "not all are listed"],
)
def test_otherwise_the_whole_study_is_fetched(
    series: tuple[SeriesReference, ...], count: int
) -> None:
    study = a_study(series=series, series_count=count, instance_count=7)

    assert series_for(study, FILMS) == () and stated_instances(study, FILMS) == 7
