"""Seal the context of a card's link, for clients that do not understand `appContext`.

It travels in the launch address, where everybody can read and change it, so it is encrypted and
bound to the EHR. It grants nothing: the app shows only what the launch's own patient allows.

Source: CDS Hooks 2.0 "Link" (`appContext`); Oracle Health's draft page of 2021 (no `appContext`).
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from typing import Protocol

from cds_service.errors import SightlineError

PURPOSE = "card-link"
SEALED_LIMIT = 1024  # characters of an address


class Sealer(Protocol):
    """Authenticated encryption; what is sealed for one purpose and tenant opens for no other."""

    def seal(self, purpose: str, tenant_id: str, plaintext: bytes) -> bytes:
        """Encrypt."""

    def open(self, purpose: str, tenant_id: str, sealed: bytes) -> bytes:
        """Decrypt; raise SightlineError when it was sealed for something else or changed."""


def seal_context(tenant_id: str, context: str, *, vault: Sealer) -> str:
    """Return the context as a text that needs no escaping in a URL."""
    sealed = vault.seal(PURPOSE, tenant_id, context.encode())
    return urlsafe_b64encode(sealed).rstrip(b"=").decode()


def open_context(tenant_id: str, text: str, *, vault: Sealer) -> str | None:
    """Return the context, or None for what this installation has not sealed for this EHR."""
    if len(text) > SEALED_LIMIT:
        return None
    try:
        sealed = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        return vault.open(PURPOSE, tenant_id, sealed).decode()
    except (SightlineError, Error, UnicodeError):
        return None
