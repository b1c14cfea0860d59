"""The eleventh revision: an EHR of an older Sightline has one archive, matched as before."""

from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import SqlTenants, upgrade
from cds_service.domain.binding import Strictness
from tests.builders import a_tenant
from tests.contract.test_ledger_trust_upgrade import old as old
from tests.contract.test_ledger_trust_upgrade import registered_then


def test_an_older_registration_is_matched_as_before(old: Engine) -> None:
    registered_then(old, "generic", None)

    upgrade(old)

    (tenant,) = SqlTenants(old).all()
    assert (tenant.binding, tenant.other_archives) == (Strictness.STANDARD, ())


def test_strictness_and_further_archives_are_kept(engine: Engine) -> None:
    archives = ("https://second.example.org/dicom-web",)
    SqlTenants(engine).add(a_tenant(binding=Strictness.STRICT, other_archives=archives))

    (tenant,) = SqlTenants(engine).all()

    assert (tenant.binding, tenant.other_archives) == (Strictness.STRICT, archives)
