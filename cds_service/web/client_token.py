"""A CDS client's token as it came: header and claims, of which nothing is believed yet.

Source: RFC 7515, RFC 7519; CDS Hooks 2.0 "Trusting CDS Clients" (ch2:181-194).
"""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cds_service.errors import UntrustedClient
from cds_service.fhir import bounded_json

HEADER_LIMIT = 2048  # characters; joserfc's 512 is too short for a long jku
TOKEN_LIMIT = 16 * 1024
LATEST_TIME = 1e11  # s; far beyond it datetime itself would fail

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ClientToken:
    """A compact JWS, parsed but not verified."""

    text: str = field(repr=False)
    header: Json = field(repr=False)
    claims: Json = field(repr=False)

    def time(self, name: str) -> float | None:
        """Return a NumericDate in seconds; None when it is missing or no usable time."""
        value = self.claims.get(name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            return None
        return float(value) if 0 <= value < LATEST_TIME else None

    def audiences(self) -> list[str]:
        """Return `aud` as a list; what is no text is left out."""
        value = self.claims.get("aud")
        named = value if isinstance(value, list) else [value]
        return [one for one in named if isinstance(one, str)]


def token_in(authorization: str | None) -> ClientToken:
    """Read an Authorization header; raise UntrustedClient."""
    scheme, _, rest = (authorization or "").partition(" ")
    text = rest.strip()
    if scheme.lower() != "bearer" or not text:
        raise UntrustedClient("token-missing")
    if len(text) > TOKEN_LIMIT:
        raise UntrustedClient("token-too-long")
    parts = text.split(".")
    if len(parts) != 3 or len(parts[0]) > HEADER_LIMIT:
        raise UntrustedClient("token-malformed")
    return ClientToken(text, _segment(parts[0]), _segment(parts[1]))


def _segment(text: str) -> Json:
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        document = bounded_json.parse(data)
    except (ValueError, binascii.Error) as error:
        raise UntrustedClient("token-malformed") from error
    if not isinstance(document, dict):
        raise UntrustedClient("token-malformed")
    return document
