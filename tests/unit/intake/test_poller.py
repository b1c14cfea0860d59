"""Which doors are asked when; what fails is asked again, and nobody waits for it."""

from collections import Counter
from dataclasses import dataclass, field
from threading import Event

import pytest

from cds_service.domain.intake import Door, Reception
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrBusy, LedgerUnavailable
from cds_service.intake.poller import Poller, Source
from tests.builders import a_tenant
from tests.fakes.ledger import FakeTenants

POLLING, FEED = Door.FHIR_POLLING, Door.ORTHANC_CHANGES
OTHER = {
    "id": "t-2",
    "name": "City Clinic",
    "fhir_base": "https://fhir.example.net/r4",
    "hook_issuer": "https://issuer.example.net",
}


@dataclass
class Doors:
    """Two sources that note who was asked, on a clock that stands still."""

    failing: dict[str, Exception] = field(default_factory=dict)
    asked: list[tuple[str, Door]] = field(default_factory=list)
    now: float = 0.0

    def poller(self, *tenants: Tenant) -> Poller:
        sources = {
            POLLING: Source(lambda tenant: self._poll(tenant, POLLING), 15),
            FEED: Source(lambda tenant: self._poll(tenant, FEED), 60),
        }
        return Poller(FakeTenants(*tenants), sources, lambda: self.now)

    def _poll(self, tenant: Tenant, door: Door) -> Counter[Reception]:
        self.asked.append((tenant.id, door))
        if tenant.id in self.failing:
            raise self.failing[tenant.id]
        return Counter({Reception.ASKED: 2})


def test_only_open_doors_are_asked() -> None:
    doors = Doors()

    outcome = doors.poller(a_tenant(doors=(FEED,)), a_tenant(**OTHER)).round()

    assert doors.asked == [("t-1", FEED)]
    assert outcome == Counter({Reception.ASKED: 2})


def test_each_door_is_asked_when_it_is_due() -> None:
    doors = Doors()
    poller = doors.poller(a_tenant(doors=(POLLING, FEED)))

    for doors.now in (0.0, 14.0, 15.0, 45.0, 60.0):
        poller.round()

    assert [door for _, door in doors.asked] == [POLLING, FEED, POLLING, POLLING, POLLING, FEED]


@pytest.mark.parametrize("failure", [EhrBusy("busy"), KeyError("a bug of ours")])
def test_an_ehr_that_fails_is_asked_again_and_the_others_go_on(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    doors = Doors(failing={"t-1": failure})
    poller = doors.poller(a_tenant(doors=(POLLING,)), a_tenant(**OTHER, doors=(POLLING,)))

    first = poller.round()
    doors.now = 15.0
    poller.round()

    assert first == Counter({Reception.ASKED: 2})
    assert sorted(doors.asked) == [("t-1", POLLING)] * 2 + [("t-2", POLLING)] * 2
    assert f"error={type(failure).__name__}" in caplog.text
    assert "a bug of ours" not in caplog.text


def test_the_poller_outlives_a_ledger_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    doors, stop, rounds = Doors(), Event(), []
    poller = doors.poller()

    def nothing() -> list[Tenant]:
        rounds.append(1)
        if len(rounds) == 3:
            stop.set()
        raise LedgerUnavailable("away")

    monkeypatch.setattr(poller.tenants, "all", nothing)

    poller.run(stop, pause_s=0)

    assert len(rounds) == 3
