"""The third revision: a registration of an older Sightline means what it meant before."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import SqlTenants, upgrade
from cds_service.adapters.ledger.upgrade import MIGRATIONS
from cds_service.domain.dialect import DialectName
from cds_service.domain.tenant import DEFAULT_ALGORITHMS, Vendor
from tests.builders import a_tenant
from tests.contract.ledgers import opened

JKU = "https://ehr.example.org/jwks"


@pytest.fixture
def old(database_url: str) -> Iterator[Engine]:
    """A database of the second revision."""
    with opened(database_url) as engine:
        configuration = Config()
        configuration.set_main_option("script_location", str(MIGRATIONS))
        with engine.execution_options(sightline_writes=True).begin() as connection:
            configuration.attributes["connection"] = connection
            command.upgrade(configuration, "0002")
        yield engine


def registered_then(engine: Engine, vendor: str, jku: str | None) -> None:
    """Register an EHR as the second revision did."""
    tenant = a_tenant()
    row = {
        "id": tenant.id,
        "name": tenant.name,
        "fhir_base": tenant.fhir_base,
        "hook_issuer": tenant.hook_issuer,
        "jwks": tenant.jwks,
        "jku": jku,
        "client_id": tenant.client_id,
        "archive_base": tenant.archive_base,
        "origins": '["https://ehr.example.org"]',
        "vendor": vendor,
        "yes": True,
        "no": False,
    }
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO tenant (id, name, fhir_base, hook_issuer, jwks, jku, client_id, "
                "archive_base, origins, vendor, backend_services, shows_running, shows_negative) "
                "VALUES (:id, :name, :fhir_base, :hook_issuer, :jwks, :jku, :client_id, "
                ":archive_base, :origins, :vendor, :yes, :yes, :no)"
            ),
            row,
        )


@pytest.mark.parametrize(
    ("vendor", "dialect"),
    [
        (Vendor.GENERIC, DialectName.STRICT_2_0),
        (Vendor.EPIC, DialectName.EPIC),
        (Vendor.ORACLE, DialectName.ORACLE),
    ],
)
@pytest.mark.parametrize("jku", [None, JKU])
def test_an_older_registration_keeps_its_meaning(
    old: Engine, vendor: Vendor, dialect: DialectName, jku: str | None
) -> None:
    registered_then(old, vendor.value, jku)

    upgrade(old)

    (tenant,) = SqlTenants(old).all()
    jkus = () if jku is None else (jku,)
    assert tenant == replace(a_tenant(), vendor=vendor, dialect=dialect, jkus=jkus)
    assert tenant.algorithms == DEFAULT_ALGORITHMS and not tenant.discovery_needs_token
