"""What an administrator may set for an archive, and what is refused before it is kept."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cds_service.adapters.vault import Vault
from cds_service.domain.archive_credential import AccessKind, ArchiveCredential
from cds_service.domain.audit import AuditAction
from cds_service.domain.tenant import Tenant
from cds_service.errors import NotFound, RegistrationRefused, SightlineError
from cds_service.usecases.archive_credentials import (
    SECRET_LIMIT,
    Access,
    open_archive_credential,
    remove_archive_credential,
    set_archive_credential,
)
from tests.builders import a_tenant
from tests.fakes.ledger import FakeAuditLog, FakeClock, FakeTenants

ARCHIVE, FEED = "https://pacs.example.org/dicom-web", "https://pacs.example.org"
CLEAR = "http://pacs.example.org/dicom-web"
VAULT = Vault(b"k" * 32)
BASIC = Access(AccessKind.BASIC, "correct horse", "sightline")
BEARER = Access(AccessKind.BEARER, "abc.def-1")
CLIENT = Access(
    AccessKind.CLIENT_CREDENTIALS,
    "s3cr~t",
    "client-1",
    "https://login.example.org/tenant/oauth2/v2.0/token",
    "https://dicom.healthcareapis.azure.com/.default",
)


def the_ehr(**changes: Any) -> Tenant:
    return a_tenant(**{"archive_base": ARCHIVE, "change_feed": FEED} | changes)


def put(
    tenant: Tenant,
    base: str,
    access: Access,
    audit: FakeAuditLog | None = None,
    is_inside: Callable[[str], bool] = lambda _url: False,
) -> Tenant:
    tenants = FakeTenants(tenant)
    set_archive_credential(
        tenant,
        base,
        access,
        register=tenants,
        vault=VAULT,
        is_inside=is_inside,
        audit=audit or FakeAuditLog(),
        clock=FakeClock(),
    )
    return tenants.get(tenant.id)


@pytest.mark.parametrize("access", [BASIC, BEARER, CLIENT], ids=lambda one: one.kind.value)
@pytest.mark.parametrize("base", [ARCHIVE, FEED])
def test_what_was_set_opens_again_and_is_audited_by_its_kind_alone(
    base: str, access: Access
) -> None:
    audit = FakeAuditLog()

    [kept] = put(the_ehr(), f"{base}/", access, audit).archive_credentials

    assert (kept.base, kept.kind, kept.name) == (base, access.kind, access.name)
    assert (kept.token_url, kept.scope) == (access.token_url, access.scope)
    assert open_archive_credential("t-1", kept, vault=VAULT) == access.secret
    [event] = audit.events
    assert event.action is AuditAction.ARCHIVE_CREDENTIAL_SET and event.tenant_id == "t-1"
    assert event.detail == f"{access.kind.value} for {base}"


def test_a_secret_opens_for_no_other_ehr_address_or_token_endpoint() -> None:
    [kept] = put(the_ehr(), ARCHIVE, CLIENT).archive_credentials

    for tenant_id, other in (
        ("t-2", kept),
        ("t-1", replace(kept, base=FEED)),
        ("t-1", replace(kept, token_url="https://login.evil.example/token")),
    ):
        with pytest.raises(SightlineError):
            open_archive_credential(tenant_id, other, vault=VAULT)


@pytest.mark.parametrize(
    ("base", "sentence"),
    [
        ("https://other.example.org/dicom-web", f"registered: {ARCHIVE}, {FEED}"),
        ("dicom://SIGHTLINE@PACS@10.1.2.10:11112", "AE title"),
        ("", "registered"),
    ],
)
def test_an_address_that_is_no_registered_web_archive_is_refused(base: str, sentence: str) -> None:
    tenant = the_ehr(other_archives=("dicom://SIGHTLINE@PACS@10.1.2.10:11112",))

    with pytest.raises(RegistrationRefused, match=sentence):
        put(tenant, base, BASIC)


@pytest.mark.parametrize(
    ("access", "sentence"),
    [
        (replace(BASIC, secret=""), "secret"),
        (replace(BASIC, secret="two\nlines"), "secret"),
        (replace(BASIC, secret="x" * (SECRET_LIMIT + 1)), "secret"),
        (replace(BASIC, name=""), "user"),
        (replace(BASIC, name="a:b"), "colon"),
        (replace(BASIC, name="a\x00b"), "user"),
        (replace(BEARER, secret="a b"), "blanks"),
        (replace(BEARER, secret="abc\u00e9"), "odd"),
        (replace(CLIENT, name=""), "client id"),
        (replace(CLIENT, scope="a\tb"), "scope"),
        (replace(CLIENT, scope='a"b'), "scope"),
        (replace(CLIENT, token_url="login.example.org/token"), "token endpoint"),
        (replace(CLIENT, token_url="https://a@login.example.org/token"), "token endpoint"),
        (replace(CLIENT, token_url="ftp://login.example.org/token"), "token endpoint"),
    ],
)
def test_what_cannot_be_sent_is_refused_with_its_name(access: Access, sentence: str) -> None:
    with pytest.raises(RegistrationRefused, match=sentence) as raised:
        put(the_ehr(), ARCHIVE, access)

    assert not access.secret or access.secret not in str(raised.value)


@pytest.mark.parametrize("access", [BASIC, BEARER, CLIENT], ids=lambda one: one.kind.value)
def test_no_secret_crosses_the_internet_in_the_clear(access: Access) -> None:
    tenant = the_ehr(archive_base=CLEAR)

    with pytest.raises(RegistrationRefused, match=f"in the clear to {CLEAR}: register https"):
        put(tenant, CLEAR, access)

    assert put(tenant, CLEAR, access, is_inside=lambda _url: True).archive_credentials


def test_nor_does_a_client_s_secret_on_its_way_to_the_token_endpoint() -> None:
    token_url = "http://login.example.org/token"

    with pytest.raises(RegistrationRefused, match=f"in the clear to {token_url}"):
        put(the_ehr(), ARCHIVE, replace(CLIENT, token_url=token_url))


def test_what_was_removed_is_gone_and_audited() -> None:
    tenant = put(the_ehr(), ARCHIVE, BASIC)
    tenants, audit = FakeTenants(tenant), FakeAuditLog()

    remove_archive_credential(
        tenant, f"{ARCHIVE}/", register=tenants, audit=audit, clock=FakeClock()
    )

    assert tenants.get("t-1").archive_credentials == ()
    [event] = audit.events
    assert event.action is AuditAction.ARCHIVE_CREDENTIAL_REMOVED
    assert event.detail == f"for {ARCHIVE}"


def test_what_is_not_there_cannot_be_removed() -> None:
    tenant, audit = the_ehr(), FakeAuditLog()
    known, unknown = FakeTenants(tenant), FakeTenants()

    for tenants, error in ((known, RegistrationRefused), (unknown, NotFound)):
        with pytest.raises(error):
            remove_archive_credential(
                tenant, ARCHIVE, register=tenants, audit=audit, clock=FakeClock()
            )

    assert audit.events == []


@pytest.mark.parametrize("kind", list(AccessKind))
def test_client_credentials_have_a_token_endpoint_and_nothing_else_has(kind: AccessKind) -> None:
    token_url = None if kind is AccessKind.CLIENT_CREDENTIALS else "https://login.example.org"

    with pytest.raises(ValueError, match="token endpoint"):
        ArchiveCredential(ARCHIVE, kind, b"", token_url=token_url)
