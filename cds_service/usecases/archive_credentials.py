"""What an archive asks for that takes no token of the EHR: kept sealed, opened to be sent.

Source: RFC 7617 2 (no colon in a user), RFC 6750 2.1 (b64token), RFC 6749 A (client id, scope).
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cds_service.domain.archive_address import is_dimse
from cds_service.domain.archive_credential import AccessKind, ArchiveCredential
from cds_service.domain.audit import AuditAction
from cds_service.domain.tenant import Tenant
from cds_service.errors import RegistrationRefused
from cds_service.usecases.note_change import note_change
from cds_service.usecases.ports import ArchiveCredentials, AuditLog, Clock
from cds_service.usecases.registration import checked_address
from cds_service.usecases.seal_context import Sealer

PURPOSE = "archive-credential"
SECRET_LIMIT = 8192  # characters
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_B64TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_SCOPE = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*")


@dataclass(frozen=True, slots=True)
class Access:
    """What an administrator was given for an archive."""

    kind: AccessKind
    secret: str = field(repr=False)
    name: str = ""  # user, or client id
    token_url: str | None = None
    scope: str = ""


def set_archive_credential(
    tenant: Tenant,
    base: str,
    access: Access,
    *,
    register: ArchiveCredentials,
    vault: Sealer,
    is_inside: Callable[[str], bool],
    audit: AuditLog,
    clock: Clock,
) -> ArchiveCredential:
    """Keep it for a registered archive or change feed, over an earlier one; audited.

    is_inside   whether an address is this machine's or of a private network

    Raises RegistrationRefused with a sentence naming what cannot be, NotFound.
    """
    base = _registered(tenant, base)
    _check(access)
    token_url = access.token_url and checked_address("token endpoint", access.token_url)
    for address in filter(None, (base, token_url)):
        if urlsplit(address).scheme == "http" and not is_inside(address):
            raise RegistrationRefused(
                f"Credentials would cross the internet in the clear to {address}: register https."
            )
    bound_to = _bound_to(base, token_url)
    sealed = vault.seal(bound_to, tenant.id, access.secret.encode())
    made = ArchiveCredential(base, access.kind, sealed, access.name, token_url, access.scope)
    register.set_archive_credential(tenant.id, made)
    detail = f"{made.kind.value} for {base}"
    note_change(AuditAction.ARCHIVE_CREDENTIAL_SET, tenant.id, detail, audit=audit, clock=clock)
    return made


def remove_archive_credential(
    tenant: Tenant, base: str, *, register: ArchiveCredentials, audit: AuditLog, clock: Clock
) -> None:
    """Forget it; audited. Raises RegistrationRefused where there is none, NotFound."""
    base = base.rstrip("/")
    if not register.remove_archive_credential(tenant.id, base):
        raise RegistrationRefused(f"There are no credentials for {base}.")
    removed = AuditAction.ARCHIVE_CREDENTIAL_REMOVED
    note_change(removed, tenant.id, f"for {base}", audit=audit, clock=clock)


def open_archive_credential(tenant_id: str, credential: ArchiveCredential, *, vault: Sealer) -> str:
    """Return the secret; raise SightlineError when it was sealed for another place."""
    bound_to = _bound_to(credential.base, credential.token_url)
    return vault.open(bound_to, tenant_id, credential.sealed).decode()


def _bound_to(base: str, token_url: str | None) -> str:
    """Return what is sealed in: who can write the ledger cannot send a secret elsewhere."""
    return " ".join((PURPOSE, base, token_url or "-"))


def _registered(tenant: Tenant, base: str) -> str:
    if is_dimse(base):
        raise RegistrationRefused("An archive that speaks DIMSE knows us by our AE title.")
    for known in tenant.asked_bases:
        if known == base.rstrip("/"):
            return known
    known = ", ".join(tenant.asked_bases) or "none"
    raise RegistrationRefused(f"This is no archive or change feed of the EHR; registered: {known}.")


def _check(access: Access) -> None:
    if not 0 < len(access.secret) <= SECRET_LIMIT or not access.secret.isprintable():
        raise RegistrationRefused(f"A secret has 1 to {SECRET_LIMIT} printable characters.")
    if access.kind is AccessKind.BEARER:
        if not _B64TOKEN.fullmatch(access.secret):
            raise RegistrationRefused("A bearer token has no blanks and no odd characters.")
        return
    if not _NAME.fullmatch(access.name):
        raise RegistrationRefused("A user or client id has 1 to 256 printable characters.")
    if access.kind is AccessKind.BASIC and ":" in access.name:
        raise RegistrationRefused("A user must not have a colon.")
    if access.scope and not _SCOPE.fullmatch(access.scope):
        raise RegistrationRefused("A scope is one or more words of ASCII characters.")
