"""The eighth revision: an EHR of an older Sightline goes on in English."""

from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import SqlTenants, upgrade
from tests.builders import a_tenant
from tests.contract.test_ledger_trust_upgrade import old as old
from tests.contract.test_ledger_trust_upgrade import registered_then


def test_an_older_registration_names_no_language_and_wants_no_drafts(old: Engine) -> None:
    registered_then(old, "generic", None)

    upgrade(old)

    (tenant,) = SqlTenants(old).all()
    assert (tenant.language, tenant.shows_drafts) == (None, False)


def test_a_language_is_kept(engine: Engine) -> None:
    SqlTenants(engine).add(a_tenant(language="pt", shows_drafts=True))

    (tenant,) = SqlTenants(engine).all()

    assert (tenant.language, tenant.shows_drafts) == ("pt", True)
