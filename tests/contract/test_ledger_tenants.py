"""The registered EHRs: the same on the fake, SQLite and PostgreSQL."""

import pytest

from cds_service.domain.dialect import DialectName
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
        jkus=("https://ehr.example.org/jwks", "https://ehr.example.org/jwks/2"),
        algorithms=("RS256",),
        audiences=("https://typed.example.org/by-hand",),
        tenant_claims=("site-1", "site-2"),
        subject="client-1",
        discovery_needs_token=True,
        dialect=DialectName.ORACLE,
        backend_services=False,
        shows_negative=True,
        shows_mismatch=False,
        app_users=("Practitioner", "Patient"),
        reviewers=("PractitionerRole/7",),
        critical_limit_min=15,
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


def test_a_changed_tenant_takes_the_place_of_its_former_self(ledger: Ledger) -> None:
    ledger.tenants.add(a_tenant())
    ledger.tenants.add(a_tenant(**OTHER))

    changed = a_tenant(name="General Hospital North", origins=("https://n.example.org",))
    ledger.tenants.change(changed)

    assert ledger.tenants.get("t-1") == changed
    assert ledger.tenants.get("t-2") == a_tenant(**OTHER)


@pytest.mark.parametrize(
    ("field", "word"),
    [("name", "name"), ("hook_issuer", "hook issuer"), ("fhir_base", "FHIR base")],
)
def test_a_change_to_the_mark_of_another_tenant_is_refused(
    ledger: Ledger, field: str, word: str
) -> None:
    ledger.tenants.add(a_tenant())
    ledger.tenants.add(a_tenant(**OTHER))

    with pytest.raises(RegistrationRefused, match=f"with this {word}"):
        ledger.tenants.change(a_tenant(**{field: OTHER[field]}))

    assert ledger.tenants.get("t-1") == a_tenant()


def test_what_is_not_registered_cannot_be_changed(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        ledger.tenants.change(a_tenant())


@pytest.mark.parametrize("first", [(), ("site-1",), ("site-2", "site-3")])
@pytest.mark.parametrize("second", [(), ("site-1",), ("site-2",)])
def test_an_issuer_is_shared_only_where_the_tenant_claims_tell_the_ehrs_apart(
    ledger: Ledger, first: tuple[str, ...], second: tuple[str, ...]
) -> None:
    issuer = "https://cds-hooks.example.com"
    ledger.tenants.add(a_tenant(hook_issuer=issuer, tenant_claims=first))
    other = a_tenant(**OTHER | {"hook_issuer": issuer, "tenant_claims": second})

    if first and second and set(first).isdisjoint(second):
        ledger.tenants.add(other)
        assert len(ledger.tenants.all()) == 2
        return
    with pytest.raises(RegistrationRefused, match="with this hook issuer"):
        ledger.tenants.add(other)


def test_a_removed_tenant_is_gone_and_may_come_again(ledger: Ledger) -> None:
    ledger.tenants.add(a_tenant())

    ledger.tenants.remove("t-1")

    assert ledger.tenants.all() == []
    with pytest.raises(NotFound):
        ledger.tenants.get("t-1")
    with pytest.raises(NotFound):
        ledger.tenants.remove("t-1")
    ledger.tenants.add(a_tenant())
