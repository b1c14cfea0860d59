"""Which EHR is calling: the JWT that every CDS Hooks request must bring.

The order is that of the standard's best practices: issuer and tenant, algorithm, jku, audience and
times, signature, and then the jti, which is used up only by a token that is genuine.

Source: CDS Hooks 2.0 "Trusting CDS Clients" (ch2:176-207); threats T1 to T4.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from cds_service.domain.dialect import DialectName
from cds_service.domain.tenant import ALGORITHM_KEYS, DEFAULT_ALGORITHMS, Tenant
from cds_service.errors import UntrustedClient, UpstreamFailed
from cds_service.usecases.ports import Clock, Replays
from cds_service.web.client_token import HEADER_LIMIT, ClientToken, token_in
from cds_service.web.rate_limit import RateLimit
from cds_service.web.registrations import Registrations

LEEWAY_S = 60
LONGEST_LIFE_S = 3600
JTI_LIMIT = 256
KEYS_TIMEOUT_S = 2.0

PublicKey = ECKey | RSAKey | OKPKey


class Keys(Protocol):
    """The public keys of the CDS clients."""

    def find(
        self, tenant: Tenant, kid: str, jku: str | None, *, timeout_s: float
    ) -> PublicKey | None:
        """Return the key or None; raise UpstreamFailed when the set cannot be read in time.

        jku  of the token, when it is one of the registered ones
        """


@dataclass(frozen=True, slots=True)
class ClientTrust:
    """Verifies the tokens of CDS clients."""

    tenants: Registrations
    keys: Keys
    replays: Replays
    clock: Clock
    limit: RateLimit = field(default_factory=RateLimit)

    def verify(
        self,
        authorization: str | None,
        audiences: Sequence[str],
        *,
        timeout_s: float = KEYS_TIMEOUT_S,
    ) -> Tenant:
        """Return the EHR that sent this Authorization header for one of these addresses.

        timeout_s  for the EHR's key set, where it has to be fetched first

        Raises UntrustedClient, whose reason is for the log alone; TooManyCalls; and
        LedgerUnavailable: without the ledger a replay cannot be told, so nobody is let in.
        """
        token = token_in(authorization)
        tenant = self._tenant(token)
        try:
            _check_header(token, tenant)
            _check_claims(token, tenant, audiences)
            self._check_times(token)
            self._check_signature(token, tenant, timeout_s)
            self.limit.take(tenant)
            self._use_up(token, tenant)
        except _Refused as refused:
            raise UntrustedClient(refused.reason, tenant_name=tenant.name) from refused
        return tenant

    def warm_up(self) -> None:
        """Do once, before any client waits, what the first token would pay for.

        Reads the registrations, which discovery keeps for while the ledger is away; verifies a
        token of a key made here; notes a jti that is over long since, which the sweep removes.
        Raises LedgerUnavailable.
        """
        self.tenants.all()
        key = ECKey.generate_key("P-384")
        header = {"alg": "ES384", "typ": "JWT"}
        text = jwt.encode(header, {"iss": "sightline"}, key, algorithms=["ES384"])
        jwt.decode(token_in(f"Bearer {text}").text, key, registry=_registry(DEFAULT_ALGORITHMS))
        self.replays.use_once("sightline", "warm-up", datetime.fromtimestamp(0, UTC))

    def discovery_dialect(self, authorization: str | None, audience: str) -> DialectName:
        """Return the dialect of whoever reads discovery.

        Once one EHR is registered to need a token there, everybody does, and `verify` decides.
        Until then it is public, also while the ledger is away (ch2:5): a token that is sent all
        the same is not looked at, and the dialect is the one that all EHRs share, else that of
        the standard. Raises what `verify` raises.
        """
        tenants = self.tenants.last_known()
        if any(tenant.discovery_needs_token for tenant in tenants):
            return self.verify(authorization, [audience]).dialect
        shared = {tenant.dialect for tenant in tenants}
        return shared.pop() if len(shared) == 1 else DialectName.STRICT_2_0

    def _tenant(self, token: ClientToken) -> Tenant:
        """Find the one registration of this issuer, or of this issuer and tenant."""
        issuer, claim = token.claims.get("iss"), token.claims.get("tenant")
        named = [tenant for tenant in self.tenants.all() if tenant.hook_issuer == issuer]
        if not named:
            raise UntrustedClient("issuer-unknown")
        fitting = [one for one in named if not one.tenant_claims or claim in one.tenant_claims]
        if len(fitting) != 1:
            only = named[0].name if len(named) == 1 else None
            raise UntrustedClient("tenant-not-registered", tenant_name=only)
        return fitting[0]

    def _check_times(self, token: ClientToken) -> None:
        now = self.clock().timestamp()
        expires, issued = token.time("exp"), token.time("iat")
        if expires is None or issued is None:
            raise _Refused("times-missing")
        if now > expires + LEEWAY_S:
            raise _Refused("expired")
        starts = token.time("nbf") if "nbf" in token.claims else issued
        if starts is None or max(issued, starts) > now + LEEWAY_S:
            raise _Refused("not-yet-valid")
        if expires - issued > LONGEST_LIFE_S:
            raise _Refused("lifetime-too-long")

    def _check_signature(self, token: ClientToken, tenant: Tenant, timeout_s: float) -> None:
        kid, jku = token.header.get("kid"), token.header.get("jku")
        if not isinstance(kid, str) or not kid:
            raise _Refused("kid-missing")
        try:
            own_jku = jku if jku in tenant.jkus else None
            key = self.keys.find(tenant, kid, own_jku, timeout_s=timeout_s)
        except UpstreamFailed as error:
            raise _Refused("keys-not-available") from error
        if key is None:
            raise _Refused("kid-unknown")
        kind = "RSA" if isinstance(key, RSAKey) else key.curve_name
        if kind != ALGORITHM_KEYS[token.header["alg"]]:
            raise _Refused("algorithm-not-accepted")
        try:
            jwt.decode(token.text, key, registry=_registry(tenant.algorithms))
        except (JoseError, ValueError) as error:
            raise _Refused("signature-wrong") from error

    def _use_up(self, token: ClientToken, tenant: Tenant) -> None:
        until = datetime.fromtimestamp(token.claims["exp"] + LEEWAY_S, UTC)
        if not self.replays.use_once(tenant.hook_issuer, token.claims["jti"], until):
            raise _Refused("replayed")


class _Refused(Exception):
    """One reason, before the tenant's name is added to it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def _check_header(token: ClientToken, tenant: Tenant) -> None:
    if token.header.get("alg") not in tenant.algorithms:
        raise _Refused("algorithm-not-accepted")
    if str(token.header.get("typ", "")).upper() != "JWT":
        raise _Refused("type-not-jwt")
    if tenant.jkus and "jku" in token.header and token.header["jku"] not in tenant.jkus:
        raise _Refused("jku-not-registered")


def _check_claims(token: ClientToken, tenant: Tenant, audiences: Sequence[str]) -> None:
    if {*audiences, *tenant.audiences}.isdisjoint(token.audiences()):
        raise _Refused("audience-wrong")
    if tenant.subject is not None and token.claims.get("sub") != tenant.subject:
        raise _Refused("subject-wrong")
    jti = token.claims.get("jti")
    if not isinstance(jti, str) or not 0 < len(jti) <= JTI_LIMIT:
        raise _Refused("jti-missing")


@lru_cache(maxsize=32)
def _registry(algorithms: tuple[str, ...]) -> JWSRegistry:
    """Return what joserfc may accept: these algorithms, whatever the header says."""
    registry = JWSRegistry(algorithms=list(algorithms), strict_check_header=False)
    registry.max_header_length = HEADER_LIMIT
    return registry
