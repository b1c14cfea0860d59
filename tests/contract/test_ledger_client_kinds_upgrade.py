"""The fourth revision: an EHR of an older Sightline goes on getting signed assertions."""

import pytest
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import SqlTenants, upgrade
from cds_service.domain.smart_client import ClientKind
from tests.builders import a_tenant
from tests.contract.test_ledger_trust_upgrade import old as old
from tests.contract.test_ledger_trust_upgrade import registered_then


def test_an_older_registration_is_of_an_asymmetric_client(old: Engine) -> None:
    registered_then(old, "generic", None)

    upgrade(old)

    (tenant,) = SqlTenants(old).all()
    assert tenant.client_kind is ClientKind.ASYMMETRIC and tenant.client_secret is None


@pytest.mark.parametrize(
    ("kind", "secret"),
    [(ClientKind.SYMMETRIC, b"\x00sealed\xff"), (ClientKind.PUBLIC, None)],
)
def test_a_client_kind_is_kept_with_its_sealed_secret(
    engine: Engine, kind: ClientKind, secret: bytes | None
) -> None:
    SqlTenants(engine).add(a_tenant(client_kind=kind, client_secret=secret))

    (tenant,) = SqlTenants(engine).all()

    assert (tenant.client_kind, tenant.client_secret) == (kind, secret)
