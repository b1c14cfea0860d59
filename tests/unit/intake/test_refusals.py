"""What the doors refuse: noted, counted, and never more than some lines."""

from datetime import timedelta

import pytest

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.caller import caller_address, neighbourhood
from cds_service.domain.intake import Door
from cds_service.domain.refusal import Refusal
from cds_service.errors import LedgerUnavailable
from cds_service.intake.refusals import CALLERS, OTHERS, WINDOW, Refusals
from tests.fakes.ledger import FakeAuditLog, FakeClock

WHY = Refusal.UNKNOWN_CREDENTIAL


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def audit() -> FakeAuditLog:
    return FakeAuditLog()


@pytest.fixture
def refusals(audit: FakeAuditLog, clock: FakeClock) -> Refusals:
    return Refusals(audit, clock)


def test_the_first_refused_call_is_a_line(
    refusals: Refusals, audit: FakeAuditLog, clock: FakeClock
) -> None:
    refusals.note(Door.DIMSE, Refusal.CALLING_TITLE, "10.1.2.3", tenant_id="t-1")

    assert audit.events == [
        AuditEvent(
            AuditAction.CALL_REFUSED,
            clock(),
            "t-1",
            "dimse",
            "calling-ae-title",
            detail="10.1.2.3",
        )
    ]


def test_of_many_calls_of_one_kind_each_power_of_ten_is_a_line(
    refusals: Refusals, audit: FakeAuditLog
) -> None:
    for _ in range(1234):
        refusals.note(Door.STOW_RS, WHY, "10.1.2.3")

    details = [event.detail for event in audit.events]
    assert details[0] == "10.1.2.3"
    assert [detail.split(" since ")[0] for detail in details[1:]] == [
        "10.1.2.3, 10",
        "10.1.2.3, 100",
        "10.1.2.3, 1000",
    ]


def test_door_reason_ehr_and_address_are_told_apart(
    refusals: Refusals, audit: FakeAuditLog
) -> None:
    for _ in range(2):
        refusals.note(Door.STOW_RS, WHY, "10.1.2.3")
        refusals.note(Door.SUBSCRIPTION, WHY, "10.1.2.3")
        refusals.note(Door.STOW_RS, Refusal.CLOSED, "10.1.2.3")
        refusals.note(Door.STOW_RS, WHY, "10.1.2.3", "t-1")
        refusals.note(Door.STOW_RS, WHY, "10.1.2.4")

    assert len(audit.events) == 5


def test_t18_a_flood_from_everywhere_is_counted_together(
    refusals: Refusals, audit: FakeAuditLog
) -> None:
    for number in range(20_000):
        refusals.note(Door.STOW_RS, WHY, f"10.{number >> 8}.{number & 255}.1", "t-1")

    assert len(audit.events) == CALLERS + 5  # 1, 10, 100, 1000 and 10000 others
    assert audit.events[-1].detail.startswith(f"{OTHERS}, 10000 since ")


def test_a_flood_of_one_kind_hides_no_other(refusals: Refusals, audit: FakeAuditLog) -> None:
    for number in range(CALLERS + 1):
        refusals.note(Door.STOW_RS, WHY, f"10.0.{number}.1")

    refusals.note(Door.STOW_RS, Refusal.FULL, "10.1.2.3", "t-1")

    assert (audit.events[-1].outcome, audit.events[-1].detail) == ("inbox-full", "10.1.2.3")


def test_after_an_hour_the_count_begins_anew(
    refusals: Refusals, audit: FakeAuditLog, clock: FakeClock
) -> None:
    refusals.note(Door.STOW_RS, WHY, "10.1.2.3")
    clock.advance((WINDOW - timedelta(seconds=1)).total_seconds())
    refusals.note(Door.STOW_RS, WHY, "10.1.2.3")
    clock.advance(1)
    refusals.note(Door.STOW_RS, WHY, "10.1.2.3")

    assert [event.detail for event in audit.events] == ["10.1.2.3", "10.1.2.3"]


def test_a_call_is_refused_also_where_the_ledger_is_away(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    class Away(FakeAuditLog):
        def record(self, event: AuditEvent) -> None:
            raise LedgerUnavailable("The ledger cannot be used now.")

    Refusals(Away(), clock).note(Door.STOW_RS, WHY, "10.1.2.3")

    assert "not in the audit log" in caplog.text


@pytest.mark.parametrize(
    ("address", "noted"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("::ffff:10.1.2.3", "::ffff:10.1.2.3"),
        ("fe80::1%eth0", "fe80::/64"),
        ("", "unknown"),
        ("an evil\nline", "unknown"),
    ],
)
def test_of_an_address_only_what_its_host_cannot_choose_is_kept(address: str, noted: str) -> None:
    assert neighbourhood(address) == noted


def test_a_proxy_of_our_own_network_is_believed_and_no_other() -> None:
    assert caller_address("10.0.0.2", "1.1.1.1, 198.51.100.7") == "198.51.100.7"
    assert caller_address("203.0.113.9", "198.51.100.7") in {"198.51.100.7", "203.0.113.9"}
    assert caller_address("8.8.8.8", "198.51.100.7") == "8.8.8.8"
    assert caller_address("10.0.0.2", "not an address") == "10.0.0.2"
