"""Registration: addresses that will be trusted are checked before they are."""

import json
from dataclasses import replace
from typing import Any

import pytest

from cds_service.domain.archive_address import dimse_address
from cds_service.domain.audit import AuditAction
from cds_service.domain.dialect import DialectName
from cds_service.domain.smart_client import ClientKind
from cds_service.domain.tenant import Tenant, Vendor
from cds_service.errors import NotFound, RegistrationRefused
from cds_service.usecases.register_ehr import change_ehr, register_ehr, remove_ehr
from cds_service.usecases.registration import Registration
from tests.builders import a_tenant
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
        seal_secret=lambda tenant_id, secret: f"{tenant_id}:{secret[::-1]}".encode(),
    )


def test_a_registration_makes_a_tenant_that_is_known_at_once_and_audited() -> None:
    tenants, audit = FakeTenants(), FakeAuditLog()

    tenant = register(
        a_registration(
            jkus=("https://ehr.example.org/jwks.json",),
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
        jkus=("https://ehr.example.org/jwks.json",),
        client_id="sightline",
        archive_base="https://pacs.example.org/dicom-web",
        origins=("https://ehr.example.org",),
        vendor=Vendor.ORACLE,
        dialect=DialectName.ORACLE,
    )
    (event,) = audit.events
    assert (event.action, event.tenant_id) == (AuditAction.EHR_REGISTERED, "id-1")


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("https://ehr.example.org:443", "https://ehr.example.org"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://ehr.example.org:80", "https://ehr.example.org:80"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(typed: str, sent: str) -> None:
    tenant = register(a_registration(origins=(typed,)))

    assert tenant.origins == (sent,)


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


@pytest.mark.parametrize(
    "issuer",
    [
        "urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        "urn:oid:2.16.840.1.113883.3.1",
        "did:web:ehr.example.org",
        "tag:ehr.example.org,2026:hooks",
        "https://ehr.example.org/fhir?site=1#main",
        "http://[::1]:8080/",
    ],
)
def test_an_issuer_is_any_uri(issuer: str) -> None:
    assert register(a_registration(issuer=issuer)).hook_issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "",
        "ehr.example.org",
        "/fhir",
        "urn:",
        ":x",
        "1u:x",
        "u:a b",
        "u:a\n",
        " u:a",
        "u:é",
        "u:" * 200,
    ],
)
def test_an_issuer_that_is_no_uri_is_refused(issuer: str) -> None:
    with pytest.raises(RegistrationRefused, match="The issuer must be a URI"):
        register(a_registration(issuer=issuer))


def test_an_empty_client_id_or_archive_counts_as_not_given() -> None:
    tenant = register(a_registration(client_id="", archive_base=""))

    assert (tenant.client_id, tenant.archive_base) == (None, None)


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


@pytest.mark.parametrize(
    "changes",
    [
        {"jkus": ("https://ehr.example.org/jwks", "https://user@ehr.example.org")},
        {"archive_base": "https://user@pacs.example.org"},
    ],
)
def test_an_optional_address_is_checked_too(changes: dict[str, Any]) -> None:
    with pytest.raises(RegistrationRefused):
        register(a_registration(**changes))


@pytest.mark.parametrize("scheme", ["dicom", "dicoms"])
def test_an_archive_without_dicomweb_is_registered_by_its_titles_and_port(scheme: str) -> None:
    address = f"{scheme}://SIGHTLINE@PACS_1@[fd00::7]:11112"

    tenant = register(
        a_registration(archive_base=address, other_archives=("https://pacs.example.org/web",))
    )

    assert tenant.dimse_archives == (address,)
    assert tenant.web_archives == ("https://pacs.example.org/web",)
    found = dimse_address(address)
    assert (found.calling, found.called, found.host, found.port, found.is_tls) == (
        *("SIGHTLINE", "PACS_1", "fd00::7", 11112),
        scheme == "dicoms",
    )


@pytest.mark.parametrize(
    "address",
    [
        "dicom://PACS@10.0.0.1:104",  # whose title?
        "dicom://SIGHTLINE@PACS@10.0.0.1",
        "dicom://SIGHTLINE@PACS@10.0.0.1:0",
        "dicom://SIGHTLINE@PACS@10.0.0.1:65536",
        "dicom://SIGHTLINE@SEVENTEEN_LETTERS@10.0.0.1:104",
        "dicom://SIGHTLINE@PA CS@10.0.0.1:104",
        "dicom://SIGHTLINE@PACS@10.0.0.1:104/",
        "dicom://SIGHTLINE@PACS@10.0.0.1:104\n",
        "DICOM://SIGHTLINE@PACS@10.0.0.1:104",
    ],
)
def test_any_other_form_of_such_an_archive_is_refused(address: str) -> None:
    with pytest.raises(RegistrationRefused, match="dicom://OURS@THEIRS@HOST:PORT"):
        register(a_registration(other_archives=(address,)))


# --- trust and dialect ---


@pytest.mark.parametrize(
    ("vendor", "dialect"),
    [
        (Vendor.GENERIC, DialectName.STRICT_2_0),
        (Vendor.EPIC, DialectName.EPIC),
        (Vendor.ORACLE, DialectName.ORACLE),
    ],
)
def test_a_vendor_implies_its_dialect_and_a_named_one_wins(
    vendor: Vendor, dialect: DialectName
) -> None:
    assert register(a_registration(vendor=vendor)).dialect is dialect
    named = a_registration(vendor=vendor, dialect=DialectName.V1_0)
    assert register(named).dialect is DialectName.V1_0


def test_what_a_token_must_say_is_kept_letter_by_letter_and_once() -> None:
    tenant = register(
        a_registration(
            algorithms=("RS384", "RS384"),
            audiences=("Sightline PROD", "Sightline PROD"),
            tenant_claims=("site-1", "site-2"),
            subject="Client-1 ",
            discovery_needs_token=True,
        )
    )

    assert (tenant.algorithms, tenant.audiences) == (("RS384",), ("Sightline PROD",))
    assert (tenant.tenant_claims, tenant.subject) == (("site-1", "site-2"), "Client-1 ")
    assert tenant.discovery_needs_token


def test_ch2_205_without_a_word_about_algorithms_the_recommended_ones_are_taken() -> None:
    assert register(a_registration()).algorithms == ("ES384", "RS384")


@pytest.mark.parametrize("algorithm", ["none", "HS256", "HS384", "es384", "EdDSA", ""])
def test_ch2_201_203_an_algorithm_that_is_not_asymmetric_is_refused(algorithm: str) -> None:
    with pytest.raises(RegistrationRefused, match="asymmetric"):
        register(a_registration(algorithms=(algorithm,)))


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"audiences": ("a" * 257,)}, "audience"),
        ({"tenant_claims": ("two\nlines",)}, "tenant claim"),
        ({"subject": "\x00"}, "subject"),
        ({"subject": ""}, "subject"),
        ({"tenant_claims": ("",)}, "tenant claim"),
        ({"audiences": ("",)}, "audience"),
    ],
)
def test_a_claim_that_is_empty_or_no_log_line_could_show_is_refused(
    changes: dict[str, Any], word: str
) -> None:
    with pytest.raises(RegistrationRefused, match=f"The {word} must be"):
        register(a_registration(**changes))


def test_one_issuer_may_sign_for_two_ehrs_whose_tokens_name_different_tenants() -> None:
    tenants = FakeTenants()
    tenants.add(a_tenant(tenant_claims=("site-1",)))
    second = {"id": "t-2", "name": "Other", "fhir_base": "https://other.example.org/fhir"}

    tenants.add(a_tenant(**second, tenant_claims=("site-2",)))

    assert len(tenants.all()) == 2


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
        ('{"keys": ' + "[" * 100_000, "neither an address nor a JWK set"),
        ('{"keys": []}', "has no key"),
        ('{"keys": [{"kty": []}]}', "EC, RSA or OKP"),
        (json.dumps({"keys": [PUBLIC_KEY | {"kid": ""}]}), "by a kid"),
        (json.dumps({"keys": [PUBLIC_KEY | {"kid": 1}]}), "by a kid"),
        (json.dumps({"keys": [PUBLIC_KEY | {"d": "AA"}]}), "public EC, RSA or OKP keys"),
        (json.dumps({"keys": [{"kty": "oct", "k": "AA"}]}), "public EC, RSA or OKP keys"),
    ],
)
def test_a_key_set_that_cannot_verify_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(RegistrationRefused, match=sentence) as caught:
        register(a_registration(jwks=text))

    assert '"AA"' not in str(caught.value)


# --- changes ---


PINNED = json.dumps({"keys": [PUBLIC_KEY]})


def a_registered(**changes: Any) -> Tenant:
    """Return a tenant that `sightline ehr add` would take."""
    return a_tenant(**{"jwks": PINNED} | changes)


def change(
    tenant: Tenant, tenants: FakeTenants, audit: FakeAuditLog | None = None, **changes: Any
) -> Tenant:
    return change_ehr(
        tenant,
        changes,
        register=tenants,
        audit=audit or FakeAuditLog(),
        clock=FakeClock(),
        seal_secret=lambda tenant_id, secret: f"{tenant_id}:{secret[::-1]}".encode(),
    )


def test_what_a_change_does_not_name_stays_and_the_change_is_audited() -> None:
    tenant = a_registered(origins=("https://a.example.org",), shows_negative=True)
    tenants, audit = FakeTenants(tenant), FakeAuditLog()

    changed = change(tenant, tenants, audit, archive_base="https://new.example.org/dicom-web")

    assert changed == replace(tenant, archive_base="https://new.example.org/dicom-web")
    assert tenants.get(tenant.id) == changed
    assert [event.action for event in audit.events] == [AuditAction.EHR_CHANGED]


def test_a_pinned_key_set_is_replaced_by_an_address() -> None:
    tenant = a_registered(jwks_url=None, jwks=PINNED)
    tenants = FakeTenants(tenant)

    assert change(tenant, tenants, name="New name").jwks == PINNED
    changed = change(tenant, tenants, jwks="https://ehr.example.org/new.json")

    assert (changed.jwks, changed.jwks_url) == (None, "https://ehr.example.org/new.json")


def test_a_new_vendor_brings_its_dialect_unless_one_is_named() -> None:
    tenant = a_registered(vendor=Vendor.GENERIC, dialect=DialectName.V1_0)
    tenants = FakeTenants(tenant)

    assert change(tenant, tenants, vendor=Vendor.EPIC).dialect is DialectName.EPIC
    named = change(tenant, tenants, vendor=Vendor.EPIC, dialect=DialectName.STRICT_2_0)

    assert named.dialect is DialectName.STRICT_2_0


def test_a_kept_secret_stays_sealed_and_goes_with_the_kind_of_client_that_has_one() -> None:
    tenant = a_registered(client_id="c", client_kind=ClientKind.SYMMETRIC, client_secret=b"sealed")
    tenants = FakeTenants(tenant)

    assert change(tenant, tenants, language="de").client_secret == b"sealed"
    assert change(tenant, tenants, client_secret="new").client_secret == b"t-1:wen"
    assert change(tenant, tenants, client_kind=ClientKind.PUBLIC).client_secret is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fhir_base": "https://other.example.org/r4"}, "Another FHIR base is another EHR"),
        ({"client_kind": ClientKind.SYMMETRIC}, "needs the client"),
        ({"client_secret": ""}, "for a symmetric client"),
        ({"origins": ("nowhere",)}, "origin"),
        ({"name": ""}, "name"),
    ],
)
def test_a_change_that_would_not_work_is_refused_and_nothing_changes(
    changes: dict[str, Any], sentence: str
) -> None:
    tenant, audit = a_registered(), FakeAuditLog()
    tenants = FakeTenants(tenant)

    with pytest.raises(RegistrationRefused, match=sentence):
        change(tenant, tenants, audit, **changes)

    assert tenants.all() == [tenant] and audit.events == []


def test_changing_an_unknown_ehr_is_not_found_and_not_audited() -> None:
    audit = FakeAuditLog()

    with pytest.raises(NotFound):
        change(a_registered(), FakeTenants(), audit, language="de")

    assert audit.events == []


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


# --- what kind of client Sightline is there ----------------------------------------------------


@pytest.mark.requirement("@23")
def test_the_secret_of_a_symmetric_client_is_kept_sealed_and_printed_nowhere() -> None:
    registration = a_registration(
        client_id="c-1", client_kind=ClientKind.SYMMETRIC, client_secret="opensesame"
    )

    tenant = register(registration)

    assert tenant.client_secret == b"id-1:emasesnepo" and not tenant.has_backend_client
    assert "opensesame" not in repr(registration) and "emasesnepo" not in repr(tenant)


@pytest.mark.parametrize(
    "changes",
    [
        {"client_kind": ClientKind.SYMMETRIC},
        {"client_kind": ClientKind.SYMMETRIC, "client_secret": ""},
        {"client_kind": ClientKind.SYMMETRIC, "client_secret": "é"},
        {"client_kind": ClientKind.SYMMETRIC, "client_secret": "a\nb"},
        {"client_kind": ClientKind.PUBLIC, "client_secret": "s"},
        {"client_kind": ClientKind.PUBLIC, "client_id": None},
        {"client_secret": "s"},
    ],
)
def test_a_client_kind_and_its_secret_must_fit(changes: dict[str, Any]) -> None:
    with pytest.raises(RegistrationRefused, match="client"):
        register(a_registration(**({"client_id": "c-1"} | changes)))
