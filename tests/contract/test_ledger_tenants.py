"""The registered EHRs: the same on the fake, SQLite and PostgreSQL."""

import pytest

from cds_service.domain.tenant import Vendor
from cds_service.errors import NotFound, RegistrationRefused
from tests.builders import a_tenant
from tests.contract.ledgers import Ledger

OTHER = {
    "id": "t-2",
    "name": "City Clinic",
    "fhir_base": "https://fhir.example.net/r4",
    "hook_issuer": "https://issuer.example.net",
}


def test_a_tenant_is_returned_as_it_was_added(ledger: Ledger) -> None:
    tenant = a_tenant(
        vendor=Vendor.EPIC,
        origins=("https://a.example.org", "https://b.example.org"),
        jku="https://ehr.example.org/jwks",
        backend_services=False,
        shows_negative=True,
    )

    ledger.tenants.add(tenant)

    assert ledger.tenants.get("t-1") == tenant


def test_tenants_come_by_name(ledger: Ledger) -> None:
    ledger.tenants.add(a_tenant())
    ledger.tenants.add(a_tenant(**OTHER))

    assert [tenant.name for tenant in ledger.tenants.all()] == ["City Clinic", "General Hospital"]


@pytest.mark.parametrize(
    ("field", "word"),
    [("name", "name"), ("hook_issuer", "hook issuer"), ("fhir_base", "FHIR base")],
)
def test_a_second_tenant_with_the_same_mark_is_refused(
    ledger: Ledger, field: str, word: str
) -> None:
    ledger.tenants.add(a_tenant())

    with pytest.raises(RegistrationRefused, match=f"with this {word}"):
        ledger.tenants.add(a_tenant(**OTHER | {field: getattr(a_tenant(), field)}))

    assert ledger.tenants.all() == [a_tenant()]


def test_a_second_tenant_with_the_same_id_is_refused(ledger: Ledger) -> None:
    ledger.tenants.add(a_tenant())

    with pytest.raises(RegistrationRefused, match="registered already"):
        ledger.tenants.add(a_tenant(**OTHER | {"id": "t-1"}))


def test_a_removed_tenant_is_gone_and_may_come_again(ledger: Ledger) -> None:
    ledger.tenants.add(a_tenant())

    ledger.tenants.remove("t-1")

    assert ledger.tenants.all() == []
    with pytest.raises(NotFound):
        ledger.tenants.get("t-1")
    with pytest.raises(NotFound):
        ledger.tenants.remove("t-1")
    ledger.tenants.add(a_tenant())
