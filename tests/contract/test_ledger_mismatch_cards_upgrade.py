"""The eighteenth revision: images of somebody else are spoken of, as before."""

from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import SqlTenants, upgrade
from tests.contract.test_ledger_trust_upgrade import old as old
from tests.contract.test_ledger_trust_upgrade import registered_then


def test_an_older_registration_shows_mismatch_cards(old: Engine) -> None:
    registered_then(old, "generic", None)

    upgrade(old)

    (tenant,) = SqlTenants(old).all()
    assert tenant.shows_mismatch
