"""The callback: back from the EHR's sign-in, in the same browser, to an open session.

Source: SMART App Launch 2.2 "Authorization response", "Obtain access token"; RFC 9207 (iss in
the answer); threats T5, T6.
"""

import secrets

from flask import g, make_response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.tenant import Tenant
from cds_service.domain.vocabulary import marked
from cds_service.errors import LaunchRefused, UserNotAdmitted
from smart_app.client_proof import proof_for
from smart_app.discovery import AuthorizationServer, jwks_address, openid_address
from smart_app.framing import frame_for_claimed
from smart_app.grant import Grant, redeem
from smart_app.identity import User, keys_at, user_from
from smart_app.open_launch import NOT_ADMITTED
from smart_app.pace import count_sign_in
from smart_app.scopes import LaunchKind
from smart_app.services import AppServices, services
from smart_app.session import (
    SESSION_LIFE_S,
    TOKEN_LIFE_S,
    LaunchSession,
    PendingLaunch,
    SealedStore,
    cookie_of,
    digest_of,
    drop_cookie,
    drop_old_cookies,
    is_same_browser,
    new_handle,
    pending_from,
    reader_of,
    set_cookie,
    stored,
    tenant_of,
)
from smart_app.style import own_style_url
from smart_app.user_profile import UserProfile, profile_of

# Where a session begins.
LANDING = {**dict.fromkeys(LaunchKind, "app.study"), LaunchKind.USER: "app.worklist"}
# RFC 6749 4.1.2.1; the server's own description is not shown: anybody can write one in a link.
_REFUSALS = {
    "access_denied": marked("The EHR did not allow this app for you or this patient."),
    "invalid_scope": marked("The EHR does not grant what this app needs to read."),
    "temporarily_unavailable": marked("The EHR's sign-in is not able to answer now."),
    "server_error": marked("The EHR's sign-in had an error."),
}


def callback() -> AnyResponse:
    """Come back: prove that it is the same browser, get the token, open the session."""
    house = services()
    count_sign_in(house)
    pending = _pending(request.args.get("state", ""), house)
    tenant = house.tenants.get(pending.tenant_id)
    g.site_language = tenant.language
    server = AuthorizationServer(**pending.server)
    named = request.args.get("iss")
    if named != server.issuer and (named is not None or server.names_itself):
        raise LaunchRefused("Another sign-in server answered than the one that was asked.")
    if "error" in request.args:
        raise LaunchRefused(
            _REFUSALS.get(request.args["error"], marked("The EHR's sign-in refused the request."))
        )
    if not request.args.get("code"):
        raise LaunchRefused("The EHR's sign-in sent no code.")
    grant, user = _granted(tenant, server, pending, house)
    profile = profile_of(user.fhir_user, tenant, grant.access, house)
    g.launch_languages = (grant.locale or user.locale, *profile.languages)
    g.reader = reader_of(tenant.id, user.subject)
    if not tenant.opens_app_for(user.fhir_user, profile.roles):
        raise UserNotAdmitted(NOT_ADMITTED)
    handle, secret = new_handle(tenant.id), secrets.token_urlsafe(32)
    session = _session(tenant, pending, grant, user, profile, secret, house)
    life_s = session.life_s(house.clock().timestamp())
    SealedStore(house.redis, house.vault).put("session", handle, stored(session), life_s)
    _audit(session, house)
    response = make_response(redirect(url_for(LANDING[session.kind], handle=handle), 303))
    drop_cookie(response, pending.cookie)
    store = SealedStore(house.redis, house.vault)
    drop_old_cookies(response, request.cookies, store, keep=cookie_of(handle))
    # The cookie may outlive the session: without the value in Redis it opens nothing.
    kept_s = life_s if session.refresh_token is None else SESSION_LIFE_S
    set_cookie(response, cookie_of(handle), secret, kept_s)
    return response


def _pending(state: str, house: AppServices) -> PendingLaunch:
    """Take the launch of this state, once; refuse it in another browser (T6)."""
    frame_for_claimed(tenant_of(state))
    value = SealedStore(house.redis, house.vault).take("launch", state)
    if value is None:
        raise LaunchRefused("This sign-in was already used, or took longer than ten minutes.")
    pending = pending_from(value)
    g.tenant_id = pending.tenant_id
    if not is_same_browser(pending.browser, request.cookies.get(pending.cookie)):
        raise LaunchRefused("This sign-in was started in another browser.")
    return pending


def _granted(
    tenant: Tenant, server: AuthorizationServer, pending: PendingLaunch, house: AppServices
) -> tuple[Grant, User]:
    """Redeem the code and validate who signed in; raise LaunchRefused, UpstreamFailed."""
    keys_from = server.jwks_uri or openid_address(server)
    ehr = house.egress.session_for(tenant, also=(server.token_endpoint, keys_from))
    grant = redeem(
        server,
        ehr,
        code=request.args["code"],
        verifier=pending.verifier,
        redirect_uri=house.redirect_uri,
        proof=proof_for(tenant, server, house),
        kind=pending.kind,
        requested_scope=pending.scope,
    )
    _check_organization(tenant, grant)
    address = jwks_address(server, tenant, ehr)
    user = user_from(
        grant.id_token,
        keys_at(address, house.egress.session_for(tenant, also=(address,))),
        server=server,
        tenant=tenant,
        nonce=pending.nonce,
        now=house.clock(),
    )
    return grant, user


def _check_organization(tenant: Tenant, grant: Grant) -> None:
    """Refuse another hospital's launch where several share one EHR (SMART 2.2 `tenant`)."""
    known = tenant.tenant_claims
    if known and grant.organization is not None and grant.organization not in known:
        raise LaunchRefused("The EHR opened the app for another organization.")


def _session(
    tenant: Tenant,
    pending: PendingLaunch,
    grant: Grant,
    user: User,
    profile: UserProfile,
    secret: str,
    house: AppServices,
) -> LaunchSession:
    now = house.clock().timestamp()
    return LaunchSession(
        tenant_id=tenant.id,
        kind=pending.kind,
        patient=grant.patient_id,
        subject=user.subject,
        fhir_user=user.fhir_user,
        scope=grant.access.scope,
        expires_at=now + max(1, min(grant.access.expires_in_s, TOKEN_LIFE_S)),
        ends_at=now + SESSION_LIFE_S,
        server=pending.server,
        app_context=grant.app_context or pending.app_context,
        imaging_studies=grant.imaging_studies,
        needs_patient_banner=grant.needs_patient_banner,
        browser=digest_of(secret),
        csrf_token=secrets.token_urlsafe(24),
        access_token=grant.access.access_token,
        refresh_token=grant.access.refresh_token,
        style_url=own_style_url(grant.style_url, tenant),
        intent=grant.intent,
        organization=grant.organization,
        locale=grant.locale or user.locale,
        languages=profile.languages,
        roles=profile.roles,
    )


def _audit(session: LaunchSession, house: AppServices) -> None:
    house.audit.record(
        AuditEvent(
            action=AuditAction.APP_LAUNCHED,
            at=house.clock(),
            tenant_id=session.tenant_id,
            agent=session.agent,
            outcome="success",
            patient_id=session.patient,
        )
    )
