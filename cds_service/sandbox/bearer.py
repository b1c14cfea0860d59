"""The bearer token of a request, checked against this sandbox's authorization server.

Source: RFC 6750 (bearer usage, WWW-Authenticate).
"""

from collections.abc import Collection

from flask import request

from cds_service.sandbox.outcomes import Unauthenticated
from cds_service.sandbox.parts import sandbox_parts
from cds_service.sandbox.scopes import Access


def bearer_text() -> str | None:
    """Return the token as sent in the Authorization header, None without one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    return token.strip() if scheme.casefold() == "bearer" and token.strip() else None


def require_access(audiences: Collection[str]) -> Access:
    """Return what the request's token may do; raise Unauthenticated.

    audiences   the FHIR bases one of which the token must have been issued for
    """
    token = bearer_text()
    if token is None:
        raise Unauthenticated("a bearer token is required")
    known = sandbox_parts().authorization.access(token)
    if known is None or known.grant.audience not in audiences:
        raise Unauthenticated("the bearer token is unknown, expired or for another server")
    return Access(known.grant.scope, known.grant.patient)
