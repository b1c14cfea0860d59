"""Where a poll of the EHR goes on: no study between two polls is ever left out."""

from dataclasses import replace

import pytest

from cds_service.domain.intake import Door, Reception
from cds_service.errors import EhrAnswerInvalid, EhrBusy
from cds_service.intake import fhir_polling
from cds_service.intake.fhir_polling import poll_fhir
from tests.builders import a_tenant
from tests.fakes.intake import FakeCursors
from tests.unit.cards.builders import House, MakeHouse
from tests.unit.intake.desk import a_desk
from tests.unit.intake.paged import PagedRecord

TENANT = a_tenant()
EARLY, NOON = "2026-01-05T08:30:00Z", "2026-01-05T09:00:00+00:00"  # NOW of the builders


class Polled:
    """One EHR, polled again and again."""

    def __init__(self, house: House, **record: object) -> None:
        self.house, self.record, self.cursors = house, PagedRecord(**record), FakeCursors()  # type: ignore[arg-type]

    def poll(self) -> int:
        desk = replace(a_desk(self.house), record=self.record)
        return poll_fhir(TENANT, desk, self.cursors)[Reception.ASKED]

    @property
    def asked(self) -> list[str]:
        return [job.study.study_uid.rpartition(".")[2] for job in self.house.jobs.all]

    @property
    def since(self) -> str:
        return str(self.cursors.position("t-1", Door.FHIR_POLLING)["since"])


def test_the_first_poll_looks_back_an_hour_and_two_minutes(a_house: MakeHouse) -> None:
    polled = Polled(a_house())

    polled.poll()

    assert polled.record.searches == ["2026-01-05T07:58:00Z from 0"]


def test_studies_of_one_time_that_come_in_two_polls_are_both_asked_for(
    a_house: MakeHouse,
) -> None:
    polled = Polled(a_house())
    polled.record.add(1, EARLY)
    polled.poll()
    polled.record.add(2, EARLY)
    polled.record.add(3, "2026-01-05T08:29:00Z")  # committed late, under an earlier time

    polled.poll()

    assert sorted(polled.asked) == ["1", "2", "3"]


def test_the_next_poll_goes_on_from_the_ehr_s_own_newest_time(a_house: MakeHouse) -> None:
    polled = Polled(a_house())
    polled.record.add(1, EARLY)

    polled.poll()

    assert polled.since == "2026-01-05T08:30:00+00:00"
    polled.poll()
    assert polled.record.searches[-1] == "2026-01-05T08:28:00Z from 0"


def test_a_poll_that_breaks_half_way_goes_on_at_its_page(a_house: MakeHouse) -> None:
    polled = Polled(a_house(), fails_at=2, failure=EhrBusy("busy"))
    for number in range(1, 6):
        polled.record.add(number, EARLY)

    with pytest.raises(EhrBusy):
        polled.poll()
    half_way, since = list(polled.asked), polled.since
    polled.poll()

    assert half_way == ["1", "2"]
    assert since == "2026-01-05T08:00:00+00:00"  # not moved before the sweep is over
    assert polled.asked == ["1", "2", "3", "4", "5"]
    assert polled.record.searches[2].endswith("from 2")


def test_more_than_one_round_s_pages_are_read_in_the_next_rounds(
    a_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fhir_polling, "READS_PER_ROUND", 2)
    polled = Polled(a_house())
    for number in range(1, 10):
        polled.record.add(number, EARLY)  # one time for all: a time alone would not get past them

    rounds = [polled.poll() for _ in range(3)]

    assert rounds == [4, 4, 1]
    assert len(polled.record.searches) == 5


@pytest.mark.parametrize("is_sorted", [True, False])
def test_a_next_page_that_is_gone_costs_a_new_sweep_and_no_study(
    a_house: MakeHouse, monkeypatch: pytest.MonkeyPatch, is_sorted: bool
) -> None:
    monkeypatch.setattr(fhir_polling, "READS_PER_ROUND", 1)
    polled = Polled(a_house(), is_sorted=is_sorted)
    for number in range(1, 5):
        polled.record.add(number, f"2026-01-05T08:{30 + number}:00Z")
    polled.poll()
    polled.record.loses_pages = True
    polled.poll()
    polled.record.loses_pages = False

    for _ in range(5):
        polled.poll()

    assert sorted(polled.asked) == ["1", "2", "3", "4"]


def test_a_next_page_that_the_ehr_calls_its_own_fault_for_ever_costs_a_new_sweep(
    a_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fhir_polling, "READS_PER_ROUND", 1)
    polled = Polled(a_house(), failure=EhrBusy("The EHR answered 500 to a read."))
    for number in range(1, 5):
        polled.record.add(number, f"2026-01-05T08:{30 + number}:00Z")
    polled.poll()
    polled.record.loses_pages = True
    with pytest.raises(EhrBusy):
        polled.poll()
    polled.house.clock.advance(3601)

    polled.poll()
    polled.record.loses_pages = False
    polled.poll()

    assert polled.asked == ["1", "2", "3", "4"]


def test_pages_without_an_end_are_left_and_what_is_new_is_found(a_house: MakeHouse) -> None:
    polled = Polled(a_house(), never_ends=True)
    for number in (1, 2, 3):
        polled.record.add(number, EARLY)

    polled.poll()
    polled.record.add(4, "2026-01-05T08:40:00Z")
    polled.poll()

    assert polled.asked == ["1", "2", "3", "4"]
    assert len(polled.record.searches) < 10


def test_a_study_for_which_the_ehr_always_fails_is_passed_over_in_time(
    a_house: MakeHouse,
) -> None:
    polled = Polled(a_house(), failing_patient="broken")
    for number in (1, 2):
        polled.record.add(number, EARLY)
    polled.record.studies[0]["subject"] = {"reference": "Patient/broken"}
    for _ in range(2):
        with pytest.raises(EhrBusy):
            polled.poll()
    polled.house.clock.advance(3601)

    assert polled.poll() == 1
    assert polled.asked == ["2"]


def test_an_ehr_that_was_away_for_long_has_no_study_passed_over(a_house: MakeHouse) -> None:
    polled = Polled(a_house(), failing_patient="p-1", fails_at=1, failure=EhrBusy("away"))
    polled.record.add(1, "2026-01-05T09:00:00Z")
    with pytest.raises(EhrBusy):
        polled.poll()
    polled.house.clock.advance(3601)
    with pytest.raises(EhrBusy):  # its search is back, its patients are not yet
        polled.poll()
    polled.record.failing_patient = None

    assert polled.poll() == 1


def test_an_ehr_that_sorts_as_it_likes_moves_the_time_only_at_the_end(
    a_house: MakeHouse,
) -> None:
    polled = Polled(a_house(), is_sorted=False, fails_at=2, failure=EhrBusy("busy"))
    for number in range(1, 4):
        polled.record.add(number, f"2026-01-05T08:{30 + number}:00Z")

    with pytest.raises(EhrBusy):
        polled.poll()
    since = polled.since
    polled.poll()

    assert since == "2026-01-05T08:00:00+00:00"
    assert sorted(polled.asked) == ["1", "2", "3"]
    assert polled.since == "2026-01-05T08:33:00+00:00"


def test_a_time_to_come_does_not_hide_what_changes_until_then(a_house: MakeHouse) -> None:
    polled = Polled(a_house())
    polled.record.add(1, "2099-01-01T00:00:00Z")

    polled.poll()

    assert polled.since == NOON


def test_a_study_whose_patient_is_kept_from_us_does_not_hold_up_the_others(
    a_house: MakeHouse,
) -> None:
    polled = Polled(a_house())
    for number in (1, 2):
        polled.record.add(number, EARLY)
    polled.record.studies[0]["subject"] = {"reference": "Patient/secret"}

    assert polled.poll() == 1
    assert polled.asked == ["2"]


def test_an_ehr_that_ignores_the_time_is_not_read_to_its_end(a_house: MakeHouse) -> None:
    polled = Polled(a_house(), ignores_time=True)
    for number in range(1, 6):
        polled.record.add(number, "2025-12-01T08:00:00Z")

    with pytest.raises(EhrAnswerInvalid, match="does not search ImagingStudy by _lastUpdated"):
        polled.poll()

    assert len(polled.record.searches) == 1
    assert polled.asked == []
