"""What an archive told of: kept until the EHR knows it, asked less and less often, bounded."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import pytest

from cds_service.domain.intake import Clue, Door, Heard, Reception
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrBusy
from cds_service.intake import archive_polling
from cds_service.intake.archive_polling import poll_archive
from cds_service.usecases.ports import EhrRecord, Resource
from tests.builders import a_tenant
from tests.fakes.intake import FakeCursors
from tests.unit.cards.builders import House, MakeHouse, a_patient_resource, a_study_resource
from tests.unit.intake.desk import a_desk

DOOR = Door.ORTHANC_CHANGES
ASKED, UNKNOWN = Reception.ASKED, Reception.UNKNOWN
DAY_S = 24 * 3600


@dataclass
class Telling:
    """An archive that tells of what it is told to, and counts how often it was asked."""

    house: House
    tells: list[Clue] = field(default_factory=list)
    cursors: FakeCursors = field(default_factory=FakeCursors)
    places: list[Mapping[str, Any]] = field(default_factory=list)
    tenant: Tenant = field(default_factory=a_tenant)
    record: EhrRecord | None = None  # in place of the house's own

    def read(self, tenant: Tenant, place: Mapping[str, Any]) -> Heard:
        self.places.append(place)
        told, self.tells = tuple(self.tells), []
        return Heard(told, {"after": len(self.places)})

    def poll(self, *tells: str) -> Counter[Reception]:
        self.tells = [Clue(uid) for uid in tells]
        desk = a_desk(self.house)
        desk = replace(desk, record=self.record or desk.record)
        return poll_archive(self.tenant, desk, self.cursors, DOOR, self)

    @property
    def waiting(self) -> list[str]:
        return [one["uid"] for one in self.cursors.position("t-1", DOOR)["waiting"]]


@dataclass
class FailingFor:
    """An EHR that cannot answer for one study."""

    uid: str
    record: EhrRecord

    def read(self, tenant: Tenant, path: str, **asked: Any) -> Resource:
        if self.uid in path:
            raise EhrBusy("The EHR answered 500 to a read.")
        return self.record.read(tenant, path, **asked)

    def read_on(self, tenant: Tenant, kind: str, url: str, **asked: Any) -> Resource:
        return self.record.read_on(tenant, kind, url, **asked)


def test_each_poll_goes_on_where_the_last_one_ended(a_house: MakeHouse) -> None:
    archive = Telling(a_house())

    archive.poll()
    archive.poll()

    assert archive.places == [{}, {"after": 1}]


def test_a_study_that_the_ehr_knows_is_asked_for_and_waits_no_more(a_house: MakeHouse) -> None:
    archive = Telling(a_house())

    assert archive.poll("1.2.840.99999.1") == Counter({ASKED: 1})
    assert archive.waiting == []


def test_an_unknown_study_is_looked_for_less_and_less_often_and_let_go_after_a_day(
    a_house: MakeHouse,
) -> None:
    house = a_house()
    archive = Telling(house)
    archive.poll("1.2.3")
    looked_for = []

    for second in range(0, DAY_S + 2000, 15):
        house.clock.advance(15)
        if archive.poll():
            looked_for.append(second + 15)

    assert looked_for[:5] == [15, 45, 105, 225, 465]
    assert max(b - a for a, b in pairwise(looked_for)) <= 1815
    assert len(looked_for) < 60
    assert archive.waiting == []
    assert house.jobs.all == []


def test_word_of_a_study_that_waits_has_it_looked_for_at_once(a_house: MakeHouse) -> None:
    house = a_house()
    house.record.resources = [a_patient_resource()]
    archive = Telling(house)
    archive.poll("1.2.840.99999.1")
    house.record.resources.append(a_study_resource())

    assert archive.poll() == Counter()
    assert archive.poll("1.2.840.99999.1") == Counter({ASKED: 1})


def test_an_ehr_that_fails_half_way_costs_no_study(a_house: MakeHouse) -> None:
    house = a_house()
    archive = Telling(house)
    house.record.failure = EhrBusy("busy")
    with pytest.raises(EhrBusy):
        archive.poll("1.2.840.99999.1")
    house.record.failure = None
    house.clock.advance(15)

    assert archive.poll() == Counter({ASKED: 1})


def test_a_study_for_which_the_ehr_always_fails_stands_before_no_other(
    a_house: MakeHouse,
) -> None:
    house = a_house()
    record = FailingFor("1.2.3", house.record)
    archive = Telling(house, record=record)
    with pytest.raises(EhrBusy):
        archive.poll("1.2.3", "1.2.840.99999.1")

    assert archive.poll() == Counter({ASKED: 1})
    assert archive.waiting == ["1.2.3"]


def test_another_feed_is_read_from_its_own_beginning_and_what_waits_waits_on(
    a_house: MakeHouse,
) -> None:
    archive = Telling(a_house())
    archive.poll("1.2.3")
    archive.tenant = replace(archive.tenant, change_feed="https://other.example/orthanc")

    archive.poll()
    archive.poll()

    assert archive.places == [{}, {}, {"after": 2}]
    assert archive.waiting == ["1.2.3"]


def test_more_studies_than_may_wait_let_the_oldest_go(
    a_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_polling, "WAITING_LIMIT", 2)
    house = a_house()
    archive = Telling(house)
    for number in range(1, 4):
        archive.poll(f"1.2.{number}")
        house.clock.advance(1)

    assert sorted(archive.waiting) == ["1.2.2", "1.2.3"]


def test_a_round_looks_for_no_more_than_its_share(
    a_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_polling, "RECEIVED_PER_ROUND", 2)
    archive = Telling(a_house())

    rounds = [archive.poll("1.2.1", "1.2.2", "1.2.3"), archive.poll()]

    assert rounds == [Counter({UNKNOWN: 2}), Counter({UNKNOWN: 1})]
