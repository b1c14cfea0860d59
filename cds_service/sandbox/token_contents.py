"""What a grant looks like from outside: launch context, id_token claims, introspection.

Source: SMART App Launch 2.2 "Launch context"; OpenID Connect Core 2; RFC 7662 2.2; CDS Hooks 2.0
"Link" (appContext travels in the token response).
"""

from datetime import datetime, timedelta
from typing import Any

from cds_service.sandbox.grants import AccessToken, Grant, Launch

ID_TOKEN_LIFE = timedelta(minutes=5)


def launch_context(launch: Launch) -> dict[str, Any]:
    """Return the launch context parameters that have a value."""
    context = {
        "patient": launch.patient,
        "encounter": launch.encounter,
        "fhirContext": list(launch.fhir_context),
        "appContext": launch.app_context,
        **launch.extra,
    }
    return {name: value for name, value in context.items() if value}


def id_token_claims(grant: Grant, launch: Launch, issuer: str, now: datetime) -> dict[str, Any]:
    """Return the claims of an id_token; `fhirUser` only where that scope was granted."""
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": _subject(launch),
        "aud": grant.client_id,
        "iat": int(now.timestamp()),
        "exp": int((now + ID_TOKEN_LIFE).timestamp()),
    }
    if "fhirUser" in grant.scope.split():
        claims["fhirUser"] = f"{grant.audience}/{launch.user}"
    if grant.nonce is not None:
        claims["nonce"] = grant.nonce
    return claims


def introspection(access: AccessToken, issuer: str) -> dict[str, Any]:
    """Return what an introspection answers about a token in force."""
    grant = access.grant
    claims: dict[str, Any] = {
        "active": True,
        "token_type": "Bearer",
        "scope": grant.scope,
        "client_id": grant.client_id,
        "iss": issuer,
        "aud": grant.audience,
        "sub": grant.client_id,
        "iat": int(access.issued_at.timestamp()),
        "exp": int(access.expires_at.timestamp()),
    }
    if grant.launch is not None:
        claims["sub"] = _subject(grant.launch)
        claims["fhirUser"] = f"{grant.audience}/{grant.launch.user}"
        claims |= launch_context(grant.launch)
    return claims


def _subject(launch: Launch) -> str:
    return launch.user.partition("/")[2]
