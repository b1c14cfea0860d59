"""Registration: addresses that will be trusted are checked before they are."""

import json
from typing import Any

import pytest

from cds_service.domain.audit import AuditAction
from cds_service.domain.tenant import Tenant, Vendor
from cds_service.errors import NotFound, RegistrationRefused
from cds_service.usecases.register_ehr import Registration, register_ehr, remove_ehr
from tests.fakes.ledger import FakeAuditLog, FakeClock, FakeTenants

PUBLIC_KEY = {"kty": "EC", "crv": "P-384", "kid": "1", "x": "AA", "y": "AA"}


def a_registration(**changes: Any) -> Registration:
    values: dict[str, Any] = {
        "name": "General Hospital",
        "fhir_base": "https://fhir.example.org/r4",
        "issuer": "https://ehr.example.org",
        "jwks": "https://ehr.example.org/jwks.json",
    }
    return Registration(**values | changes)


def register(
    registration: Registration,
    tenants: FakeTenants | None = None,
    audit: FakeAuditLog | None = None,
) -> Tenant:
    return register_ehr(
        registration,
        register=tenants or FakeTenants(),
        audit=audit or FakeAuditLog(),
        clock=FakeClock(),
        new_id=lambda: "id-1",
    )


def test_a_registration_makes_a_tenant_that_is_known_at_once_and_audited() -> None:
    tenants, audit = FakeTenants(), FakeAuditLog()

    tenant = register(
        a_registration(
            jku="https://ehr.example.org/jwks.json",
            client_id="sightline",
            archive_base="https://pacs.example.org/dicom-web",
            origins=("https://ehr.example.org",),
            vendor=Vendor.ORACLE,
        ),
        tenants,
        audit,
    )

    assert tenants.get("id-1") == tenant
    assert tenant == Tenant(
        id="id-1",
        name="General Hospital",
        fhir_base="https://fhir.example.org/r4",
        hook_issuer="https://ehr.example.org",
        jwks_url="https://ehr.example.org/jwks.json",
        jku="https://ehr.example.org/jwks.json",
        client_id="sightline",
        archive_base="https://pacs.example.org/dicom-web",
        origins=("https://ehr.example.org",),
        vendor=Vendor.ORACLE,
    )
    (event,) = audit.events
    assert (event.action, event.tenant_id) == (AuditAction.EHR_REGISTERED, "id-1")


def test_bases_lose_their_trailing_slash_and_origins_their_path_and_case() -> None:
    tenant = register(
        a_registration(
            name="  General Hospital ",
            fhir_base="https://fhir.example.org/r4/",
            archive_base="http://127.0.0.1:8042/dicom-web/",
            origins=("https://EHR.example.org/", "https://ehr.example.org", "http://[::1]:8080"),
        )
    )

    assert tenant.name == "General Hospital"
    assert tenant.fhir_base == "https://fhir.example.org/r4"
    assert tenant.archive_base == "http://127.0.0.1:8042/dicom-web"
    assert tenant.origins == ("https://ehr.example.org", "http://[::1]:8080")


def test_an_issuer_is_compared_exactly_so_it_is_kept_exactly() -> None:
    tenant = register(a_registration(issuer="https://EHR.example.org/"))

    assert tenant.hook_issuer == "https://EHR.example.org/"


def test_empty_options_count_as_not_given() -> None:
    tenant = register(a_registration(jku="", client_id="", archive_base=""))

    assert (tenant.jku, tenant.client_id, tenant.archive_base) == (None, None, None)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "fhir.example.org",
        "/r4",
        "ftp://fhir.example.org",
        "file:///etc/passwd",
        "https://",
        "https://user@fhir.example.org",
        "https://user:secret@fhir.example.org",
        "https://@fhir.example.org",
        "https://fhir.example.org/#x",
        "https://fhir.example.org/#",
        "https://fhir.example.org:99999",
        "https://fhir.example.org:port",
        "https://fhir.example.org\\@evil.example",
        "https://fhir.example.org/\r\nX: 1",
        "https://fhir.exa\tmple.org",
        " https://fhir.example.org",
        "https://fhir example.org",
        "https://fhír.example.org",
        "https://[::1",
        "https://*.example.org",
        "https://a;script-src.example.org",
        "https://-.example.org",
    ],
)
@pytest.mark.parametrize(
    ("field", "word"),
    [
        ("fhir_base", "FHIR base"),
        ("issuer", "issuer"),
        ("jwks", "JWKS"),
        ("origins", "origin"),
    ],
)
def test_an_address_that_is_not_plain_is_refused_naming_the_field(
    field: str, word: str, address: str
) -> None:
    value = (address,) if field == "origins" else address
    with pytest.raises(RegistrationRefused, match=f"The {word} must be an absolute"):
        register(a_registration(**{field: value}))


@pytest.mark.parametrize("field", ["jku", "archive_base"])
def test_an_optional_address_is_checked_too(field: str) -> None:
    with pytest.raises(RegistrationRefused):
        register(a_registration(**{field: "https://user@pacs.example.org"}))


@pytest.mark.parametrize(
    "changes",
    [
        {"fhir_base": "https://fhir.example.org/r4?tenant=1"},
        {"archive_base": "https://pacs.example.org/dicom-web?x"},
        {"origins": ("https://ehr.example.org/chart",)},
        {"origins": ("https://ehr.example.org?x=1",)},
        {"name": "  "},
        {"name": "x" * 101},
        {"name": "two\nlines"},
    ],
)
def test_what_would_not_work_is_refused(changes: dict[str, Any]) -> None:
    tenants, audit = FakeTenants(), FakeAuditLog()

    with pytest.raises(RegistrationRefused):
        register(a_registration(**changes), tenants, audit)

    assert tenants.all() == [] and audit.events == []


def test_a_second_registration_of_the_same_ehr_is_refused_and_not_audited() -> None:
    tenants, audit = FakeTenants(), FakeAuditLog()
    register(a_registration(), tenants, audit)

    with pytest.raises(RegistrationRefused, match="registered already"):
        register(a_registration(name="Other", issuer="https://other.example.org"), tenants, audit)

    assert len(audit.events) == 1


# --- key sets ---


def test_a_key_set_given_as_text_is_pinned() -> None:
    text = json.dumps({"keys": [PUBLIC_KEY]})

    tenant = register(a_registration(jwks=f"\n{text}\n"))

    assert (tenant.jwks, tenant.jwks_url) == (text, None)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("{", "neither an address nor a JWK set"),
        ('{"keys": 1}', "neither an address nor a JWK set"),
        ('{"keys": [1]}', "neither an address nor a JWK set"),
        ('{"keys": [{}]}', "neither an address nor a JWK set"),
        (json.dumps(PUBLIC_KEY), "neither an address nor a JWK set"),
        ('{"keys": []}', "has no key"),
        (json.dumps({"keys": [PUBLIC_KEY | {"d": "AA"}]}), "public EC or RSA keys"),
        (json.dumps({"keys": [{"kty": "oct", "k": "AA"}]}), "public EC or RSA keys"),
    ],
)
def test_a_key_set_that_cannot_verify_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(RegistrationRefused, match=sentence) as caught:
        register(a_registration(jwks=text))

    assert '"AA"' not in str(caught.value)


# --- removal ---


def test_a_removed_ehr_is_gone_and_the_removal_is_audited() -> None:
    tenants, audit = FakeTenants(), FakeAuditLog()
    tenant = register(a_registration(), tenants, audit)

    remove_ehr(tenant.id, register=tenants, audit=audit, clock=FakeClock())

    assert tenants.all() == []
    assert audit.events[-1].action is AuditAction.EHR_REMOVED


def test_removing_an_unknown_ehr_is_not_found_and_not_audited() -> None:
    audit = FakeAuditLog()

    with pytest.raises(NotFound):
        remove_ehr("nobody", register=FakeTenants(), audit=audit, clock=FakeClock())

    assert audit.events == []
