"""Who calls the token endpoint: by a signed assertion, by a secret, or as a public client.

Source: SMART App Launch 2.2, "Client Authentication: Asymmetric", "Client Authentication:
Symmetric"; RFC 7523 section 3; RFC 6749 2.3.1 (Basic, form-encoded before base64).
"""

import binascii
import hmac
import json
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import unquote_plus

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
    """Checks who a client is, in the one way it is registered for; each jti is good once."""

    def __init__(
        self, registry: ClientRegistry, audience: str, now: Callable[[], datetime]
    ) -> None:
        self._registry = registry
        self._audience = audience
        self._now = now
        self._seen: Expiring[None] = Expiring(now, LIFE_LIMIT)

    def authenticate(self, form: Mapping[str, str], authorization: str | None) -> Client:
        """Return the client that this form comes from; raise OAuthRefusal otherwise.

        authorization   the request's Authorization header
        """
        by_assertion = "client_assertion" in form or "client_assertion_type" in form
        if authorization is not None:
            if by_assertion or "client_id" in form:
                raise invalid_client("a client authenticates in one way only")
            return self._by_secret(authorization)
        if not by_assertion:
            return self._public(form)
        return self._by_assertion(form)

    def _by_secret(self, authorization: str) -> Client:
        scheme, _, coded = authorization.partition(" ")
        try:
            pair = b64decode(coded.strip(), validate=True).decode() if scheme == "Basic" else ""
        except (binascii.Error, UnicodeDecodeError):
            pair = ""
        client_id, _, secret = (unquote_plus(part) for part in pair.partition(":"))
        client = self._registry.get(client_id)
        known = client.secret if client is not None else None
        if client is None or known is None:
            raise invalid_client("this client has no secret here")
        if not hmac.compare_digest(known.encode(), secret.encode()):
            raise invalid_client("the secret is wrong")
        return client

    def _public(self, form: Mapping[str, str]) -> Client:
        client = self._registry.get(form.get("client_id", ""))
        if client is None or not client.is_public:
            raise invalid_client("this client must authenticate itself")
        if form.get("grant_type") == "client_credentials":
            raise OAuthRefusal("unauthorized_client", "a public client acts for a user only")
        return client

    def _by_assertion(self, form: Mapping[str, str]) -> Client:
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise invalid_client("client_assertion_type must be jwt-bearer")
        assertion = form.get("client_assertion", "")
        client = self._claimed_client(assertion)
        if "client_id" in form:  # SMART App Launch 2.2: omitted for confidential apps
            raise invalid_client("a confidential client sends no client_id")
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
