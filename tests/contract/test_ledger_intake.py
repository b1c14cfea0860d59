"""The switch of the intake doors: the same on the fake, SQLite and PostgreSQL."""

import pytest
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import SqlTenants, upgrade
from cds_service.domain.intake import Door
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
