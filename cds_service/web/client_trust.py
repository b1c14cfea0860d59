"""Which EHR is calling: the JWT that every CDS Hooks request must bring.

The order is that of the standard's best practices: issuer, jku, audience and times, signature,
and then the jti, which is used up only by a token that is genuine.

Source: CDS Hooks 2.0 "Trusting CDS Clients" (ch2:176-207); threats T1 to T4.
"""

import binascii
from base64 import urlsafe_b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.jws import JWSRegistry

from cds_service.domain.tenant import Tenant
from cds_service.errors import UntrustedClient, UpstreamFailed
from cds_service.fhir import bounded_json
from cds_service.usecases.ports import Clock, Replays, Tenants

ALGORITHMS = ("ES384", "RS384")  # ch2:205; ours, whatever the header says
LEEWAY_S = 60
LONGEST_LIFE_S = 3600
HEADER_LIMIT = 2048  # characters; joserfc's 512 is too short for a long jku
TOKEN_LIMIT = 16 * 1024
JTI_LIMIT = 256
LATEST_TIME = 1e11  # s; far beyond it datetime itself would fail

_REGISTRY = JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False)
_REGISTRY.max_header_length = HEADER_LIMIT

Json = Mapping[str, Any]


class Keys(Protocol):
    """The public keys of the CDS clients."""

    def find(self, tenant: Tenant, kid: str) -> ECKey | RSAKey | None:
        """Return the key or None; raise UpstreamFailed when the set cannot be read."""


@dataclass(frozen=True, slots=True)
class ClientTrust:
    """Verifies the tokens of CDS clients."""

    tenants: Tenants
    keys: Keys
    replays: Replays
    clock: Clock

    def verify(self, authorization: str | None, audiences: Sequence[str]) -> Tenant:
        """Return the EHR that sent this Authorization header for one of these addresses.

        Raises UntrustedClient, whose reason is for the log alone, and LedgerUnavailable: without
        the ledger a replay cannot be told, so nobody is let in.
        """
        token = _bearer(authorization)
        header, claims = _unverified(token)
        tenant = self._tenant(claims)
        try:
            self._check(tenant, header, claims, audiences)
            self._check_signature(tenant, header, token)
            self._use_up(tenant, claims)
        except _Refused as refused:
            raise UntrustedClient(refused.reason, tenant_name=tenant.name) from refused
        return tenant

    def _tenant(self, claims: Json) -> Tenant:
        issuer = claims.get("iss")
        for tenant in self.tenants.all():
            if tenant.hook_issuer == issuer:
                return tenant
        raise UntrustedClient("issuer-unknown")

    def _check(self, tenant: Tenant, header: Json, claims: Json, audiences: Sequence[str]) -> None:
        if header.get("alg") not in ALGORITHMS:
            raise _Refused("algorithm-not-accepted")
        if str(header.get("typ", "")).upper() != "JWT":
            raise _Refused("type-not-jwt")
        if tenant.jku is not None and header.get("jku", tenant.jku) != tenant.jku:
            raise _Refused("jku-not-registered")
        audience = claims.get("aud")
        named = audience if isinstance(audience, list) else [audience]
        if not any(one in audiences for one in named if isinstance(one, str)):
            raise _Refused("audience-wrong")
        self._check_times(claims)
        jti = claims.get("jti")
        if not isinstance(jti, str) or not 0 < len(jti) <= JTI_LIMIT:
            raise _Refused("jti-missing")

    def _check_times(self, claims: Json) -> None:
        now = self.clock().timestamp()
        expires, issued = _number(claims, "exp"), _number(claims, "iat")
        if expires is None or issued is None:
            raise _Refused("times-missing")
        if now > expires + LEEWAY_S:
            raise _Refused("expired")
        starts = _number(claims, "nbf") if "nbf" in claims else issued
        if starts is None or max(issued, starts) > now + LEEWAY_S:
            raise _Refused("not-yet-valid")
        if expires - issued > LONGEST_LIFE_S:
            raise _Refused("lifetime-too-long")

    def _check_signature(self, tenant: Tenant, header: Json, token: str) -> None:
        kid = header.get("kid")
        if not isinstance(kid, str) or not kid:
            raise _Refused("kid-missing")
        try:
            key = self.keys.find(tenant, kid)
        except UpstreamFailed as error:
            raise _Refused("keys-not-available") from error
        if key is None:
            raise _Refused("kid-unknown")
        if key.key_type != ("EC" if header["alg"] == "ES384" else "RSA"):
            raise _Refused("algorithm-not-accepted")
        try:
            jwt.decode(token, key, registry=_REGISTRY)
        except (JoseError, ValueError) as error:
            raise _Refused("signature-wrong") from error

    def _use_up(self, tenant: Tenant, claims: Json) -> None:
        until = datetime.fromtimestamp(claims["exp"] + LEEWAY_S, UTC)
        if not self.replays.use_once(tenant.hook_issuer, claims["jti"], until):
            raise _Refused("replayed")


class _Refused(Exception):
    """One reason, before the tenant's name is added to it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _bearer(authorization: str | None) -> str:
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise UntrustedClient("token-missing")
    if len(token) > TOKEN_LIMIT:
        raise UntrustedClient("token-too-long")
    return token.strip()


def _unverified(token: str) -> tuple[Json, Json]:
    """Read header and claims before any key is known; nothing is believed yet."""
    parts = token.split(".")
    if len(parts) != 3 or len(parts[0]) > HEADER_LIMIT:
        raise UntrustedClient("token-malformed")
    return _segment(parts[0]), _segment(parts[1])


def _segment(text: str) -> Json:
    try:
        data = urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
        document = bounded_json.parse(data)
    except (ValueError, binascii.Error) as error:
        raise UntrustedClient("token-malformed") from error
    if not isinstance(document, dict):
        raise UntrustedClient("token-malformed")
    return document


def _number(claims: Json, name: str) -> float | None:
    value = claims.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 0 <= value < LATEST_TIME else None
