"""The user: an id_token validated in full, and the fhirUser it names.

Source: OpenID Connect Core 1.0 3.1.3.7; SMART App Launch 2.2 "fhirUser".
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import requests
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet, import_key
from joserfc.jws import JWSRegistry

from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, LaunchRefused
from smart_app.discovery import AuthorizationServer
from smart_app.ehr_http import answer_of, object_in

ALGORITHMS = ("RS256", "RS384", "ES256", "ES384")
LOCALE_LIMIT = 35  # characters of a BCP 47 tag that we keep (RFC 5646 4.4.1)
LEEWAY_S = 60  # two hospitals' clocks
_USER = re.compile(
    r"(?:Practitioner|PractitionerRole|Patient|RelatedPerson|Person)/[A-Za-z0-9\-.]{1,64}"
)


@dataclass(frozen=True, slots=True)
class User:
    """Who is signed in at the EHR."""

    subject: str  # the id_token's sub
    fhir_user: str | None  # "Practitioner/1" at the launch's FHIR base
    locale: str | None = None  # BCP 47, of the id_token; None: not stated


def keys_at(jwks_uri: str, session: requests.Session) -> KeySet:
    """Read the server's public keys; one that is odd costs itself alone. Raises UpstreamFailed."""
    document = object_in(answer_of(lambda: session.get(jwks_uri)))
    listed = document.get("keys")
    keys = [
        key
        for one in (listed if isinstance(listed, list) else [])
        if (key := _public_key(one)) is not None
    ]
    if not keys:
        raise EhrAnswerInvalid("The EHR's key set has no key that can be read.")
    return KeySet(keys)


def _public_key(jwk: object) -> Key | None:
    if not isinstance(jwk, dict) or jwk.get("kty") not in ("RSA", "EC") or jwk.get("use") == "enc":
        return None
    try:
        return import_key(jwk)
    except (JoseError, ValueError, KeyError):  # KeyError: a curve that joserfc does not know
        return None


def user_from(
    id_token: str,
    keys: KeySet,
    *,
    server: AuthorizationServer,
    tenant: Tenant,
    nonce: str,
    now: datetime,
) -> User:
    """Validate signature, issuer, audience, expiry and nonce; raise LaunchRefused."""
    # An unknown header member is no reason to refuse (RFC 7515 4): only `crit` would be.
    registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    rules = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=LEEWAY_S,
        iss={"essential": True, "value": server.issuer},
        aud={"essential": True, "value": tenant.client_id or ""},
        exp={"essential": True},
        iat={"essential": True},
        sub={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    try:
        claims = jwt.decode(id_token, keys, algorithms=ALGORITHMS, registry=registry).claims
        rules.validate(claims)
    except (JoseError, ValueError) as error:
        raise LaunchRefused("The EHR's proof of who you are is not valid.") from error
    if claims.get("azp", tenant.client_id) != tenant.client_id:
        raise LaunchRefused("The EHR's proof of who you are was made for another app.")
    locale = claims.get("locale")
    return User(
        subject=claims["sub"],
        fhir_user=_fhir_user(claims, tenant),
        locale=locale if isinstance(locale, str) and len(locale) <= LOCALE_LIMIT else None,
    )


def _fhir_user(claims: dict[str, Any], tenant: Tenant) -> str | None:
    """Return the reference relative to the launch's FHIR base; None for one from elsewhere."""
    value = claims.get("fhirUser")
    if not isinstance(value, str):
        return None
    reference = value.removeprefix(f"{tenant.fhir_base}/")
    return reference if _USER.fullmatch(reference) else None
