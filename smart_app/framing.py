"""What every answer of the app tells the browser: who may frame it, what may run, what is kept.

Source: CSP Level 3; threat T26; SMART App Launch 2.2 "App protection".
"""

from urllib.parse import urlsplit

from flask import Response, g, request

from cds_service.domain.tenant import Tenant
from cds_service.errors import NotFound
from smart_app.services import services

POLICY = (
    "default-src 'self'; base-uri 'none'; object-src 'none'; form-action {targets}; "
    "frame-ancestors {ancestors}"
)


def frame_for(tenant: Tenant) -> None:
    """Let this tenant's pages, and nobody else's, frame the answer to this request."""
    g.frame_ancestors = " ".join(tenant.origins) or "'none'"


def frame_for_claimed(tenant_id: str) -> None:
    """The same for an address that only claims a tenant: its error page must be seen there."""
    try:
        frame_for(services().tenants.get(tenant_id))
    except NotFound:
        return


def let_form_reach(address: str) -> None:
    """Let the form of this answer be sent to one address, and on from there.

    Chromium applies form-action to the redirects of a form as well, and where an EHR's sign-in
    leads to, such as the hospital's own, is the EHR's affair.
    """
    parts = urlsplit(address)
    g.form_targets = f"'self' https: {parts.scheme}://{parts.netloc}"


def protect(response: Response) -> Response:
    """Add the headers; only our own static files and public keys may be cached."""
    ancestors = g.get("frame_ancestors", "'none'")
    headers = response.headers
    headers["Content-Security-Policy"] = POLICY.format(
        ancestors=ancestors, targets=g.get("form_targets", "'self'")
    )
    headers["Referrer-Policy"] = "no-referrer"
    headers["X-Content-Type-Options"] = "nosniff"
    if request.endpoint not in ("app.static", "app.jwks"):
        headers["Cache-Control"] = "no-store"
    return response
