"""The launch: from the chart, or from our own page, to the EHR's authorization server.

Source: SMART App Launch 2.2 "EHR launch", "Standalone launch", "Request authorization code" (GET
and POST); RFC 7636 (PKCE S256); threats T5, T6.
"""

import re
import secrets
from dataclasses import asdict

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from flask import Response, g, jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from cds_service.domain.tenant import Tenant
from cds_service.errors import LaunchRefused
from cds_service.usecases.seal_context import open_context
from smart_app.discovery import AuthorizationServer
from smart_app.framing import frame_for, let_form_reach
from smart_app.grant import app_context_in
from smart_app.kept_discovery import known_server
from smart_app.pace import count_sign_in
from smart_app.scopes import LaunchKind, scope_for
from smart_app.services import AppServices, services
from smart_app.session import (
    PENDING_LIFE_S,
    PendingLaunch,
    SealedStore,
    digest_of,
    new_handle,
    set_cookie,
    stored,
)

JWKS_LIFE_S = 300
_COOKIE_KEY = re.compile(r"[A-Za-z0-9_-]{8,32}")


def home() -> Response:
    """Show the EHRs that the app can be opened at, without a chart (standalone launch)."""
    house = services()
    ehrs = [tenant for tenant in house.tenants.all() if tenant.client_id is not None]
    return make_response(render_template("app/home.html", ehrs=ehrs, label=house.label))


def start() -> AnyResponse:
    """Begin: find the EHR in our register, prove that cookies arrive, send the browser on."""
    house = services()
    count_sign_in(house)
    tenant = _registered(request.args.get("iss", ""), house)
    frame_for(tenant)
    g.tenant_id, g.site_language = tenant.id, tenant.language
    if request.args.get("launch") == "":
        raise LaunchRefused("The EHR did not say which chart is open.")
    if tenant.client_id is None:
        raise LaunchRefused("This EHR is registered for cards only, not for opening the app.")
    key = request.args.get("cookie")
    if key is None:
        return _with_test_cookie()
    name = f"__Host-sightline-launch-{key}"
    secret = request.cookies.get(name) if _COOKIE_KEY.fullmatch(key) else None
    if not secret:
        return _new_window(house)
    return _to_authorization_server(tenant, name, secret, house)


def _registered(iss: str, house: AppServices) -> Tenant:
    """Return the EHR of this issuer; nothing is called before it is known (T5)."""
    for tenant in house.tenants.all():
        if iss in (tenant.fhir_base, f"{tenant.fhir_base}/"):
            return tenant
    raise LaunchRefused("This EHR is not registered with Sightline.")


def _kind() -> LaunchKind:
    """Return how the app is opened; an EHR's `launch` counts before what the address asks for."""
    if "launch" in request.args:
        return LaunchKind.EHR
    asked = request.args.get("kind", LaunchKind.PATIENT)
    if asked not in (LaunchKind.PATIENT, LaunchKind.USER):
        raise LaunchRefused("The app can be opened for a patient, or for a user.")
    return LaunchKind(asked)


def _launch_address(cookie: str | None = None) -> str:
    args = request.args
    return url_for(
        "app.start",
        iss=args["iss"],
        launch=args.get("launch"),
        kind=args.get("kind"),
        ctx=args.get("ctx"),
        cookie=cookie,
    )


def _with_test_cookie() -> AnyResponse:
    """Set the launch's cookie and come back to see whether the browser keeps it.

    Before authorize, because the launch id is good once: a cookie that is missed only at the
    callback would cost the clinician the launch.
    """
    key, secret = secrets.token_urlsafe(9), secrets.token_urlsafe(32)
    response = make_response(redirect(_launch_address(cookie=key), 303))
    set_cookie(response, f"__Host-sightline-launch-{key}", secret, PENDING_LIFE_S)
    return response


def _new_window(house: AppServices) -> Response:
    return make_response(
        render_template("app/new_window.html", address=_launch_address(), label=house.label)
    )


def _to_authorization_server(
    tenant: Tenant, cookie: str, secret: str, house: AppServices
) -> AnyResponse:
    kind = _kind()
    server = known_server(tenant, house)
    scope = scope_for(
        kind,
        speaks_v2=server.speaks_v2_scopes,
        refresh=server.refresh_scope,
        with_roles=tenant.names_roles,
        with_studies=tenant.has_imaging_studies,
    )
    state, verifier, nonce = new_handle(tenant.id), secrets.token_urlsafe(48), house.new_id()
    pending = PendingLaunch(
        tenant_id=tenant.id,
        browser=digest_of(secret),
        cookie=cookie,
        server=asdict(server),
        kind=kind,
        scope=scope,
        verifier=verifier,
        nonce=nonce,
        app_context=_context_of_link(tenant, house),
    )
    SealedStore(house.redis, house.vault).put("launch", state, stored(pending), PENDING_LIFE_S)
    parameters = {
        "response_type": "code",
        "client_id": tenant.client_id or "",
        "redirect_uri": house.redirect_uri,
        "scope": scope,
        "state": state,
        "aud": request.args["iss"],
        "nonce": nonce,
        "code_challenge": create_s256_code_challenge(verifier),
        "code_challenge_method": "S256",
    }
    if kind is LaunchKind.EHR:
        parameters["launch"] = request.args["launch"]
    return _handed_over(server, parameters, house)


def _handed_over(
    server: AuthorizationServer, parameters: dict[str, str], house: AppServices
) -> AnyResponse:
    """Send the browser on: with a form where the server takes one, which has no limit of length."""
    address = server.authorization_endpoint
    if not server.accepts_post:
        return redirect(prepare_grant_uri(address, **parameters), 303)
    let_form_reach(address)
    page = render_template(
        "app/authorize.html", address=address, parameters=parameters, label=house.label
    )
    return make_response(page)


def _context_of_link(tenant: Tenant, house: AppServices) -> dict[str, str]:
    """Return what a card's link carried in its address; what we have not sealed is nothing."""
    text = request.args.get("ctx")
    return app_context_in(open_context(tenant.id, text, vault=house.vault)) if text else {}


def jwks() -> Response:
    """Publish our public keys (SMART 2.2 "Asymmetric Client Authentication")."""
    response = jsonify(services().assertions.public_jwks())
    response.headers["Cache-Control"] = f"public, max-age={JWKS_LIFE_S}"
    return response
