"""Who calls the token endpoint: a signed assertion, checked claim by claim.

Source: SMART App Launch 2.2, "Client Authentication: Asymmetric"; RFC 7523 section 3.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from joserfc import jws, jwt
from joserfc.errors import JoseError

from cds_service.sandbox.clients import Client, ClientRegistry
from cds_service.sandbox.grants import Expiring

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("ES384", "RS384")
LIFE_LIMIT = timedelta(minutes=5)


class OAuthRefusal(Exception):
    """An error in the words of RFC 6749 5.2; `str()` is its description."""

    def __init__(self, error: str, description: str, http_status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.http_status = http_status


def invalid_client(description: str) -> OAuthRefusal:
    """Return the refusal of a client that did not prove who it is."""
    return OAuthRefusal("invalid_client", description, http_status=401)


class ClientAuthenticator:
    """Checks client assertions; each jti is good once."""

    def __init__(
        self, registry: ClientRegistry, audience: str, now: Callable[[], datetime]
    ) -> None:
        self._registry = registry
        self._audience = audience
        self._now = now
        self._seen: Expiring[None] = Expiring(now, LIFE_LIMIT)

    def authenticate(self, form: Mapping[str, str]) -> Client:
        """Return the client that signed the form's assertion; raise OAuthRefusal otherwise."""
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise invalid_client("client_assertion_type must be jwt-bearer")
        assertion = form.get("client_assertion", "")
        client = self._claimed_client(assertion)
        if form.get("client_id", client.client_id) != client.client_id:
            raise invalid_client("client_id is not the one of the assertion")
        claims = self._verified_claims(assertion, client)
        self._check(claims, client)
        return client

    def _claimed_client(self, assertion: str) -> Client:
        try:
            claims = json.loads(jws.extract_compact(assertion.encode()).payload)
            client = self._registry.get(str(claims.get("sub")))
        except (JoseError, ValueError, AttributeError):
            raise invalid_client("the assertion is not a JWT") from None
        if client is None:
            raise invalid_client("unknown client")
        return client

    def _verified_claims(self, assertion: str, client: Client) -> dict[str, Any]:
        header = jws.extract_compact(assertion.encode()).headers()
        if header.get("alg") not in ALGORITHMS:
            raise invalid_client("the assertion must be signed with ES384 or RS384")
        if header.get("typ") != "JWT":
            raise invalid_client("the assertion's typ must be JWT")
        if header.get("jku", client.jwks_url) != client.jwks_url:
            raise invalid_client("jku is not the registered JWKS URL")
        key = self._registry.key(client, str(header.get("kid")))
        if key is None:
            raise invalid_client("no registered key has the assertion's kid")
        try:
            return jwt.decode(assertion, key, algorithms=ALGORITHMS).claims
        except JoseError:
            raise invalid_client("the assertion's signature does not verify") from None

    def _check(self, claims: dict[str, Any], client: Client) -> None:
        now = self._now().timestamp()
        audience = claims.get("aud")
        if claims.get("iss") != client.client_id:
            raise invalid_client("iss and sub must both be the client_id")
        if self._audience not in (audience if isinstance(audience, list) else [audience]):
            raise invalid_client("aud must be the token endpoint's URL")
        expires, not_before = _seconds(claims, "exp", 0.0), _seconds(claims, "nbf", now)
        if not now < expires <= now + LIFE_LIMIT.total_seconds() or not_before > now:
            raise invalid_client("the assertion must expire within five minutes from now")
        jti = claims.get("jti")
        if not isinstance(jti, str) or not jti:
            raise invalid_client("the assertion must have a jti")
        if not self._seen.keep_once(f"{client.client_id} {jti}", None):
            raise invalid_client("this assertion was used before")


def _seconds(claims: dict[str, Any], name: str, default: float) -> float:
    value = claims.get(name, default)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise invalid_client(f"{name} must be a number of seconds")
    return value
