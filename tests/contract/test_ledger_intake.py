"""The switch of the intake doors: the same on the fake, SQLite and PostgreSQL."""

import pytest
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import (
    SqlIntakeBells,
    SqlIntakeCursors,
    SqlTenants,
    upgrade,
)
from cds_service.domain.intake import Bell, Door
from cds_service.errors import NotFound
from tests.builders import a_tenant
from tests.contract.ledgers import Ledger
from tests.contract.test_ledger_trust_upgrade import old as old
from tests.contract.test_ledger_trust_upgrade import registered_then


def test_doors_are_opened_one_by_one_and_closed_again(ledger: Ledger) -> None:
    ledger.tenants.add(a_tenant())

    for door in (Door.STOW_RS, Door.SUBSCRIPTION, Door.STOW_RS):
        ledger.tenants.set_door("t-1", door, is_open=True)
    opened = ledger.tenants.get("t-1").doors
    ledger.tenants.set_door("t-1", Door.STOW_RS, is_open=False)
    ledger.tenants.set_door("t-1", Door.DIMSE, is_open=False)

    assert opened == (Door.SUBSCRIPTION, Door.STOW_RS)
    assert ledger.tenants.get("t-1") == a_tenant(doors=(Door.SUBSCRIPTION,))


def test_the_address_of_a_change_feed_is_kept(ledger: Ledger) -> None:
    ledger.tenants.add(a_tenant())

    ledger.tenants.set_change_feed("t-1", "http://archive.example.org:8042")

    assert ledger.tenants.get("t-1").change_feed == "http://archive.example.org:8042"


def test_an_ehr_that_is_not_registered_has_no_door(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        ledger.tenants.set_door("t-1", Door.DIMSE, is_open=True)
    with pytest.raises(NotFound):
        ledger.tenants.set_change_feed("t-1", "http://archive.example.org:8042")


def test_an_older_registration_has_no_open_door(old: Engine) -> None:
    registered_then(old, "generic", None)

    upgrade(old)

    (tenant,) = SqlTenants(old).all()
    assert (tenant.doors, tenant.change_feed) == ((), None)


def test_a_door_goes_on_where_it_was(ledger: Ledger) -> None:
    ledger.cursors.keep("t-1", Door.FHIR_POLLING, {"since": "2026-01-05T09:00:00+00:00"})
    ledger.cursors.keep("t-1", Door.ORTHANC_CHANGES, {"after": 7})
    ledger.cursors.keep("t-2", Door.ORTHANC_CHANGES, {"after": 99})
    ledger.cursors.keep("t-1", Door.ORTHANC_CHANGES, {"after": 8, "waiting": {"1.2.3": None}})

    assert ledger.cursors.position("t-1", Door.ORTHANC_CHANGES) == {
        "after": 8,
        "waiting": {"1.2.3": None},
    }
    assert ledger.cursors.position("t-1", Door.FHIR_POLLING)["since"].startswith("2026")
    assert ledger.cursors.position("t-1", Door.DICOMWEB_POLLING) == {}


def test_an_ehr_has_one_bell_and_a_new_one_takes_its_place(ledger: Ledger) -> None:
    first = Bell("t-1", "a" * 64, "b" * 64)
    second = Bell("t-1", "c" * 64, "d" * 64, "sub-1")
    other = Bell("t-2", "e" * 64, "f" * 64)

    for bell in (first, other, second):
        ledger.bells.hang(bell)

    assert ledger.bells.at("a" * 64) is None
    assert ledger.bells.at("c" * 64) == ledger.bells.of("t-1") == second
    assert ledger.bells.of("t-2") == other
    assert ledger.bells.of("t-3") is None


def test_what_the_doors_keep_goes_with_the_registration(engine: Engine) -> None:
    tenants = SqlTenants(engine)
    tenants.add(a_tenant())
    SqlIntakeBells(engine).hang(Bell("t-1", "a" * 64, "b" * 64))
    SqlIntakeCursors(engine).keep("t-1", Door.FHIR_POLLING, {"since": None})

    tenants.remove("t-1")

    assert SqlIntakeBells(engine).at("a" * 64) is None
    assert SqlIntakeCursors(engine).position("t-1", Door.FHIR_POLLING) == {}
