"""One EHR that hangs costs its own hooks, and those only."""

import logging
import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest

from cds_service.adapters.lanes import Lanes
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrTimedOut
from cds_service.usecases.answer_hook import answer_hook
from cds_service.usecases.gather_prefetch import STUDIES, Gatherer, Gathering
from cds_service.usecases.ports import Resource
from tests.builders import a_tenant
from tests.fakes.ledger import FakeAuditLog, FakeClock
from tests.fakes.neighbours import FakeEhrRecord
from tests.unit.cards.builders import (
    MakeHouse,
    a_bundle,
    a_call,
    a_study_resource,
    know,
    present,
)

THREADS = 2
FAST = a_tenant(id="t-2", name="Other")


class OneHangs(FakeEhrRecord):
    """The EHR t-1 hangs until `may_answer`; the others answer."""

    def __init__(self, *resources: Resource) -> None:
        super().__init__(*resources)
        self.may_answer = Event()
        self.asked: list[str] = []

    def read(self, tenant: Tenant, path: str, **how: Any) -> Resource:
        self.asked.append(tenant.id)
        if tenant.id == "t-1":
            self.may_answer.wait(30)
        return super().read(tenant, path, **how)


@pytest.fixture
def record() -> Iterator[OneHangs]:
    one = OneHangs(a_study_resource())
    yield one
    one.may_answer.set()


@pytest.fixture
def gatherer(record: OneHangs) -> Gatherer:
    return Gatherer(record, FakeAuditLog(), Lanes(THREADS), FakeClock())


def start(gatherer: Gatherer, tenant: Tenant, within_s: float) -> Gathering:
    call = a_call(tenant_id=tenant.id, prefetch={})
    return gatherer.start(call, tenant, time.monotonic() + within_s)


def test_an_ehr_that_hangs_is_late_and_the_hooks_of_another_are_read_for(
    gatherer: Gatherer, record: OneHangs
) -> None:
    for _ in range(5):
        hung = start(gatherer, a_tenant(), within_s=0.05)
        with pytest.raises(EhrTimedOut):
            hung.document(STUDIES)

    found = start(gatherer, FAST, within_s=30.0).document(STUDIES)

    assert found is not None and len(found["entry"]) == 1
    assert record.asked.count("t-1") <= THREADS


def test_a_read_that_waited_past_its_deadline_never_goes_out(
    gatherer: Gatherer, record: OneHangs
) -> None:
    for _ in range(5):
        with pytest.raises(EhrTimedOut):
            start(gatherer, a_tenant(), within_s=0.05).document(STUDIES)
    asked = record.asked.count("t-1")
    record.may_answer.set()

    assert start(gatherer, a_tenant(), within_s=30.0).document(STUDIES)  # the last in the line
    assert record.asked.count("t-1") <= asked + 2  # its own two keys


def test_a_search_that_waited_past_its_deadline_never_goes_out(gatherer: Gatherer) -> None:
    late = gatherer.start(a_call(prefetch={}), FAST, time.monotonic() - 1, ())
    asked: list[str] = []

    with pytest.raises(EhrTimedOut):
        late.of_each(asked.append, ["A-1", "A-2", "A-3"])

    assert start(gatherer, FAST, within_s=30.0).document(STUDIES)  # the last in the line
    assert asked == []


def test_a_known_result_does_not_wait_for_a_read(
    a_house: MakeHouse, record: OneHangs, caplog: pytest.LogCaptureFixture
) -> None:
    house = a_house()
    know(house)
    house.record = record
    call = a_call(prefetch={STUDIES: present(a_bundle(a_study_resource()))})

    with caplog.at_level(logging.WARNING):
        (card,) = answer_hook(call, a_tenant(), house.desk, budget_s=20.0)
    record.may_answer.set()

    assert "signs of pneumonia" in card.summary
    assert caplog.text == ""  # nothing was late: nobody waited for the Patient


def test_warming_up_asks_the_ledger_alone(a_house: MakeHouse) -> None:
    house = a_house()

    house.desk.warm_up()

    assert house.record.reads == [] == house.audit.events and house.dispatched == []
