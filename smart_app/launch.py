"""The EHR launch: from the chart to the authorization server and back, bound to one browser.

Source: SMART App Launch 2.2 "EHR launch"; RFC 7636 (PKCE S256); RFC 9207 (iss in the answer);
threats T5, T6.
"""

import re
import secrets
from dataclasses import asdict

from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from flask import Response, g, jsonify, make_response, redirect, render_template, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.tenant import Tenant
from cds_service.errors import LaunchRefused
from cds_service.usecases.seal_context import open_context
from smart_app.discovery import AuthorizationServer, discover
from smart_app.framing import frame_for, frame_for_claimed
from smart_app.grant import app_context_in, redeem
from smart_app.identity import keys_of, user_from
from smart_app.services import AppServices, services
from smart_app.session import (
    PENDING_LIFE_S,
    SESSION_LIFE_S,
    LaunchSession,
    PendingLaunch,
    SealedStore,
    cookie_of,
    digest_of,
    drop_cookie,
    is_same_browser,
    new_handle,
    pending_from,
    set_cookie,
    stored,
    tenant_of,
)

JWKS_LIFE_S = 300
_COOKIE_KEY = re.compile(r"[A-Za-z0-9_-]{8,32}")
# RFC 6749 4.1.2.1; the server's own description is not shown: anybody can write one in a link.
_REFUSALS = {
    "access_denied": "The EHR did not allow this app for you or this patient.",
    "invalid_scope": "The EHR does not grant what this app needs to read.",
    "temporarily_unavailable": "The EHR's sign-in is not able to answer now.",
    "server_error": "The EHR's sign-in had an error.",
}


def start() -> AnyResponse:
    """Begin: find the EHR in our register, prove that cookies arrive, send the browser on."""
    house = services()
    tenant = _registered(request.args.get("iss", ""), house)
    frame_for(tenant)
    g.tenant_id = tenant.id
    if not request.args.get("launch"):
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


def _launch_address(cookie: str | None = None) -> str:
    args = request.args
    return url_for(
        "app.start", iss=args["iss"], launch=args["launch"], ctx=args.get("ctx"), cookie=cookie
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
    server = discover(tenant, house.egress.session_for(tenant))
    state, verifier, nonce = new_handle(tenant.id), secrets.token_urlsafe(48), house.new_id()
    pending = PendingLaunch(
        tenant_id=tenant.id,
        browser=digest_of(secret),
        cookie=cookie,
        server=asdict(server),
        verifier=verifier,
        nonce=nonce,
        app_context=_context_of_link(tenant, house),
    )
    _store(house).put("launch", state, stored(pending), PENDING_LIFE_S)
    address = prepare_grant_uri(
        server.authorization_endpoint,
        client_id=tenant.client_id,
        response_type="code",
        redirect_uri=house.redirect_uri,
        scope=server.scope,
        state=state,
        launch=request.args["launch"],
        aud=request.args["iss"],
        nonce=nonce,
        code_challenge=create_s256_code_challenge(verifier),
        code_challenge_method="S256",
    )
    return redirect(address, 303)


def _context_of_link(tenant: Tenant, house: AppServices) -> dict[str, str]:
    """Return what a card's link carried in its address; what we have not sealed is nothing."""
    text = request.args.get("ctx")
    return app_context_in(open_context(tenant.id, text, vault=house.vault)) if text else {}


def callback() -> AnyResponse:
    """Come back: prove that it is the same browser, get the token, open the session."""
    house = services()
    pending = _pending(request.args.get("state", ""), house)
    server = AuthorizationServer(**pending.server)
    if request.args.get("iss", server.issuer) != server.issuer:
        raise LaunchRefused("Another sign-in server answered than the one that was asked.")
    if "error" in request.args:
        raise LaunchRefused(
            _REFUSALS.get(request.args["error"], "The EHR's sign-in refused the request.")
        )
    if not request.args.get("code"):
        raise LaunchRefused("The EHR's sign-in sent no code.")
    tenant = house.tenants.get(pending.tenant_id)
    handle, secret, session = _opened(tenant, server, pending, house)
    life_s = max(1, int(session.expires_at - house.clock().timestamp()))
    _store(house).put("session", handle, stored(session), life_s)
    _audit(session, house)
    response = make_response(redirect(url_for("app.study", handle=handle), 303))
    drop_cookie(response, pending.cookie)
    set_cookie(response, cookie_of(handle), secret, life_s)
    return response


def _pending(state: str, house: AppServices) -> PendingLaunch:
    """Take the launch of this state, once; refuse it in another browser (T6)."""
    frame_for_claimed(tenant_of(state))
    value = _store(house).take("launch", state)
    if value is None:
        raise LaunchRefused("This sign-in was already used, or took longer than ten minutes.")
    pending = pending_from(value)
    g.tenant_id = pending.tenant_id
    if not is_same_browser(pending.browser, request.cookies.get(pending.cookie)):
        raise LaunchRefused("This sign-in was started in another browser.")
    return pending


def _opened(
    tenant: Tenant, server: AuthorizationServer, pending: PendingLaunch, house: AppServices
) -> tuple[str, str, LaunchSession]:
    """Redeem the code; return the new session's handle and cookie value, and the session."""
    if tenant.client_id is None:
        raise LaunchRefused("This EHR is no longer registered for opening the app.")
    ehr = house.egress.session_for(tenant, also=(server.token_endpoint, server.jwks_uri))
    grant = redeem(
        server,
        ehr,
        code=request.args["code"],
        verifier=pending.verifier,
        redirect_uri=house.redirect_uri,
        assertion=house.assertions.sign(tenant.client_id, server.token_endpoint),
    )
    now = house.clock()
    user = user_from(
        grant.id_token,
        keys_of(server, ehr),
        server=server,
        tenant=tenant,
        nonce=pending.nonce,
        now=now,
    )
    secret = secrets.token_urlsafe(32)
    session = LaunchSession(
        tenant_id=tenant.id,
        patient_id=grant.patient_id,
        subject=user.subject,
        fhir_user=user.fhir_user,
        scope=grant.scope,
        expires_at=now.timestamp() + max(1, min(grant.expires_in_s, SESSION_LIFE_S)),
        app_context=grant.app_context or pending.app_context,
        imaging_studies=grant.imaging_studies,
        needs_patient_banner=grant.needs_patient_banner,
        browser=digest_of(secret),
        csrf_token=secrets.token_urlsafe(24),
        access_token=grant.access_token,
    )
    return new_handle(tenant.id), secret, session


def jwks() -> Response:
    """Publish our public keys (SMART 2.2 "Asymmetric Client Authentication")."""
    response = jsonify(services().assertions.public_jwks())
    response.headers["Cache-Control"] = f"public, max-age={JWKS_LIFE_S}"
    return response


def _store(house: AppServices) -> SealedStore:
    return SealedStore(house.redis, house.vault)


def _audit(session: LaunchSession, house: AppServices) -> None:
    house.audit.record(
        AuditEvent(
            action=AuditAction.APP_LAUNCHED,
            at=house.clock(),
            tenant_id=session.tenant_id,
            agent=session.agent,
            outcome="success",
            patient_id=session.patient_id,
        )
    )
