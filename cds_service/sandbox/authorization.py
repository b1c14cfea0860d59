"""The SMART authorization server's mind: launches, codes, tokens and signed hook calls.

Source: SMART App Launch 2.2; RFC 6749, 7636 (PKCE), 7662 (introspection); OpenID Connect Core;
CDS Hooks 2.0 "FHIR Authorization" and "Trusting CDS Clients".
"""

import uuid
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from datetime import timedelta
from typing import Any

from joserfc.jwk import KeySetSerialization

from cds_service.sandbox.authorize_request import AuthorizeRequest, matches_challenge
from cds_service.sandbox.client_assertion import ClientAuthenticator, OAuthRefusal
from cds_service.sandbox.clients import Client, ClientRegistry
from cds_service.sandbox.config import SandboxConfig
from cds_service.sandbox.grants import AccessToken, AuthorizationCode, Expiring, Grant, Launch
from cds_service.sandbox.scopes import granted
from cds_service.sandbox.signing_keys import SigningKeys
from cds_service.sandbox.token_contents import (
    id_token_claims,
    introspection,
    launch_context,
)

LAUNCH_LIFE = timedelta(minutes=5)
CODE_LIFE = timedelta(seconds=60)
APP_TOKEN_LIFE = timedelta(hours=1)
SYSTEM_TOKEN_LIFE = timedelta(seconds=300)  # SMART Backend Services: <= 300 s recommended
REFRESH_LIFE = timedelta(hours=8)
HOOK_JWT_LIFE = timedelta(minutes=5)

_READ_BY_BOTH = (
    "Patient",
    "Encounter",
    "ImagingStudy",
    "Endpoint",
    "ServiceRequest",
    "Practitioner",
)
_RESULTS = ("Observation", "DiagnosticReport", "DocumentReference", "Media", "Device")
_WRITTEN_BY_SERVICE = (*_RESULTS, "Provenance", "Task", "AuditEvent")
_APP_LEVELS, _SYSTEM_LEVELS = frozenset({"patient", "user"}), frozenset({"system"})

# What the client "sightline" is registered for: a launched app that may also file findings,
# and a backend service that reads studies and writes results.
SIGHTLINE_SCOPES = " ".join(
    [
        "launch launch/patient launch/encounter openid fhirUser online_access offline_access",
        *(f"patient/{type_}.rs" for type_ in _READ_BY_BOTH + _RESULTS),
        "patient/Observation.cu patient/DiagnosticReport.cu patient/DocumentReference.c",
        *(f"user/{type_}.rs" for type_ in (*_READ_BY_BOTH, *_RESULTS, "PractitionerRole")),
        *(f"system/{type_}.rs" for type_ in _READ_BY_BOTH),
        *(f"system/{type_}.crus" for type_ in _WRITTEN_BY_SERVICE),
        "system/ImagingStudy.c",
    ]
)


def sightline_scopes(lacks: Set[str]) -> str:
    """Return those scopes without the types that an EHR lacks."""
    unknown = [f"/{type_}." for type_ in lacks]
    words = SIGHTLINE_SCOPES.split()
    return " ".join(word for word in words if not any(one in word for one in unknown))


# CDS Hooks 2.0 names SMART v1 scopes in fhirAuthorization.
HOOK_SCOPES = " ".join(
    f"patient/{type_}.read"
    for type_ in (
        ["Patient", "ImagingStudy", "Endpoint", "ServiceRequest", "Observation", "DiagnosticReport"]
    )
)


class Authorization:
    """Who may do what in this sandbox. Thread-safe; only the keys outlive the process."""

    def __init__(self, config: SandboxConfig) -> None:
        self._config = config
        self.keys = SigningKeys(config.data / "keys.json")
        self.clients = ClientRegistry()
        self._authenticator = ClientAuthenticator(self.clients, self.token_url, config.now)
        self._launches: Expiring[Launch] = Expiring(config.now, LAUNCH_LIFE)
        self._codes: Expiring[AuthorizationCode] = Expiring(config.now, CODE_LIFE)
        self._spent: Expiring[str] = Expiring(config.now, REFRESH_LIFE)
        self._app_tokens: Expiring[AccessToken] = Expiring(config.now, APP_TOKEN_LIFE)
        self._system_tokens: Expiring[AccessToken] = Expiring(config.now, SYSTEM_TOKEN_LIFE)
        self._refresh: Expiring[Grant] = Expiring(config.now, REFRESH_LIFE)
        self.register_client(
            config.client_id,
            config.app_jwks_url,
            config.app_redirect_uris,
            sightline_scopes(config.lacks),
        )

    @property
    def token_url(self) -> str:
        """The token endpoint, which is the audience of client assertions."""
        return f"{self._config.auth_base}/token"

    @property
    def audiences(self) -> tuple[str, ...]:
        """The FHIR bases our tokens are good for; the first is the sandbox's own."""
        return (self._config.fhir_base, *self._config.further_audiences)

    def register_client(
        self,
        client_id: str,
        keys: str | KeySetSerialization,
        redirect_uris: Sequence[str],
        scopes: str,
    ) -> None:
        """Register an asymmetric client: `keys` is its JWKS URL, or the key set itself."""
        self.clients.register(
            Client(
                client_id,
                tuple(redirect_uris),
                scopes,
                jwks_url=keys if isinstance(keys, str) else None,
                jwks=None if isinstance(keys, str) else keys,
            )
        )

    def new_launch(
        self,
        patient: str | None,
        user: str,
        encounter: str | None = None,
        fhir_context: Sequence[dict[str, Any]] = (),
        app_context: str | None = None,
        client_id: str | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> str:
        """Return a launch id for one app (default: Sightline's): good once, for five minutes.

        patient and encounter are ids, user is "Practitioner/<id>", fhir_context holds
        {"reference": "ImagingStudy/<id>"} objects, extra what else the token response says:
        intent, tenant, smart_style_url.
        """
        client = client_id or self._config.client_id
        launch = Launch(
            client, user, patient, encounter, tuple(fhir_context), app_context, dict(extra or {})
        )
        return self._launches.keep(launch)

    def authorize(self, request: AuthorizeRequest) -> str:
        """Return a code for this request, good once, for 60 seconds; raise OAuthRefusal."""
        launch = self._launch_of(request)
        levels = _APP_LEVELS if launch.patient else frozenset({"user"})
        scope = granted(request.scope, request.client.scopes, levels)
        if not scope:
            raise OAuthRefusal("invalid_scope", "none of these scopes can be granted")
        grant = Grant(
            uuid.uuid4().hex,
            request.client.client_id,
            scope,
            request.audience,
            launch,
            request.nonce,
        )
        return self._codes.keep(AuthorizationCode(grant, request.redirect_uri, request.challenge))

    def token(self, form: Mapping[str, str], authorization: str | None = None) -> dict[str, Any]:
        """Answer a token request (RFC 6749 5.1); raise OAuthRefusal.

        authorization   its Authorization header
        """
        client = self._authenticator.authenticate(form, authorization)
        match form.get("grant_type"):
            case "authorization_code":
                return self._redeem_code(client, form)
            case "refresh_token":
                return self._redeem_refresh_token(client, form)
            case "client_credentials":
                return self._backend_token(client, form)
        raise OAuthRefusal("unsupported_grant_type", "this grant_type is not supported")

    def authenticate(self, form: Mapping[str, str]) -> None:
        """Raise OAuthRefusal unless the form carries a registered client's fresh assertion."""
        self._authenticator.authenticate(form, None)

    def access(self, token: str) -> AccessToken | None:
        """Return what a bearer token stands for while it is in force, else None."""
        return self._app_tokens.get(token) or self._system_tokens.get(token)

    def introspect(self, token: str) -> dict[str, Any]:
        """Answer an introspection request (RFC 7662 2.2; SMART launch context)."""
        access = self.access(token)
        if access is None:
            return {"active": False}
        return introspection(access, self._config.auth_base)

    def sign_hook_jwt(self, aud: str) -> str:
        """Return the JWT that authenticates one hook call to the service at `aud`."""
        now = int(self._config.now().timestamp())
        claims = {
            "iss": self._config.fhir_base,
            "aud": aud,
            "iat": now,
            "exp": now + int(HOOK_JWT_LIFE.total_seconds()),
            "jti": str(uuid.uuid4()),
        }
        return self.keys.sign("ES384", claims, jku=f"{self._config.auth_base}/jwks.json")

    def issue_hook_token(self, patient: str) -> dict[str, Any]:
        """Return the `fhirAuthorization` of a hook call about one patient."""
        launch = Launch(self._config.client_id, self._config.clinician, patient)
        grant = Grant(
            uuid.uuid4().hex,
            self._config.client_id,
            HOOK_SCOPES,
            self._config.fhir_base,
            launch,
        )
        return {
            **self._issue(grant, self._system_tokens),
            "subject": self._config.client_id,
            "patient": patient,
        }

    def _launch_of(self, request: AuthorizeRequest) -> Launch:
        """Take the launch the request names; without one the signed-in user just opens the app."""
        client_id = request.client.client_id
        handle = request.launch or request.login
        if handle is None:
            return Launch(client_id, self._config.clinician)
        known = self._launches.get(handle)
        if known is None or known.client_id != client_id:
            raise OAuthRefusal("invalid_request", "unknown, used or expired launch")
        taken = self._launches.take(handle)
        if taken is None:
            raise OAuthRefusal("invalid_request", "this launch was used a moment ago")
        return taken

    def _redeem_code(self, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
        text = form.get("code", "")
        code = self._codes.take(text)
        if code is None:
            self._revoke_if_spent(text)
            raise OAuthRefusal("invalid_grant", "unknown, used or expired code")
        self._spent.keep_once(text, code.grant.family)
        if code.grant.client_id != client.client_id:
            raise OAuthRefusal("invalid_grant", "the code belongs to another client")
        if form.get("redirect_uri") != code.redirect_uri:
            raise OAuthRefusal("invalid_grant", "redirect_uri differs from the one authorized")
        if not matches_challenge(form.get("code_verifier", ""), code.challenge):
            raise OAuthRefusal("invalid_grant", "code_verifier does not match the challenge")
        response = self._app_response(code.grant)
        launch = code.grant.launch
        if launch is not None and "openid" in code.grant.scope.split():
            now = self._config.now()
            claims = id_token_claims(code.grant, launch, self._config.auth_base, now)
            response["id_token"] = self.keys.sign("RS256", claims)
        return response

    def _redeem_refresh_token(self, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
        text = form.get("refresh_token", "")
        grant = self._refresh.take(text)
        if grant is None:
            self._revoke_if_spent(text)
            raise OAuthRefusal("invalid_grant", "unknown, used or expired refresh token")
        self._spent.keep_once(text, grant.family)
        if grant.client_id != client.client_id:
            raise OAuthRefusal("invalid_grant", "the refresh token belongs to another client")
        wanted = form.get("scope", grant.scope)
        if not set(wanted.split()) <= set(grant.scope.split()):
            raise OAuthRefusal("invalid_scope", "a refresh cannot widen the scope")
        return self._app_response(replace(grant, scope=wanted), refreshed=grant)

    def _backend_token(self, client: Client, form: Mapping[str, str]) -> dict[str, Any]:
        scope = granted(form.get("scope", ""), client.scopes, _SYSTEM_LEVELS)
        if not scope:
            raise OAuthRefusal("invalid_scope", "none of these scopes can be granted")
        grant = Grant(uuid.uuid4().hex, client.client_id, scope, self._config.fhir_base)
        return self._issue(grant, self._system_tokens)

    def _app_response(self, grant: Grant, refreshed: Grant | None = None) -> dict[str, Any]:
        """Answer with tokens for `grant`; `refreshed` is the wider one a refresh narrowed."""
        response = self._issue(grant, self._app_tokens)
        if grant.launch is not None:
            response |= launch_context(grant.launch)
            response["need_patient_banner"] = grant.patient is not None
            response.setdefault("smart_style_url", f"{self._config.auth_base}/style.json")
        whole = refreshed or grant
        if {"online_access", "offline_access"} & set(whole.scope.split()):
            response["refresh_token"] = self._refresh.keep(whole)
        return response

    def _issue(self, grant: Grant, tokens: Expiring[AccessToken]) -> dict[str, Any]:
        now = self._config.now()
        return {
            "access_token": tokens.keep(AccessToken(grant, now, now + tokens.life)),
            "token_type": "Bearer",
            "expires_in": int(tokens.life.total_seconds()),
            "scope": grant.scope,
        }

    def _revoke_if_spent(self, used: str) -> None:
        """End every token that descends from a code or refresh token shown twice."""
        family = self._spent.get(used)
        if family is not None:
            self._app_tokens.forget(lambda token: token.grant.family == family)
            self._refresh.forget(lambda grant: grant.family == family)
