"""An authorization request, checked before anything is granted.

Source: SMART App Launch 2.2 "Request authorization code"; RFC 6749 4.1.1; RFC 7636 (S256 only).
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cds_service.sandbox.client_assertion import OAuthRefusal
from cds_service.sandbox.clients import Client, ClientRegistry

_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")  # a SHA-256 in base64url, RFC 7636 4.2
_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")  # RFC 7636 4.1


@dataclass(frozen=True, slots=True)
class AuthorizeRequest:
    """A well-formed request of a known client; `launch` is None in a standalone launch."""

    client: Client
    redirect_uri: str
    scope: str
    audience: str
    challenge: str
    launch: str | None
    nonce: str | None
    login: str | None = None  # who signed in at our own page, in a standalone launch

    @property
    def wants_patient(self) -> bool:
        """Whether the app asks for a patient in context, so that somebody must choose one."""
        return any(
            scope == "launch/patient" or scope.startswith("patient/")
            for scope in self.scope.split()
        )


def client_to_answer(params: Mapping[str, str], clients: ClientRegistry) -> Client:
    """Return the client whose registered redirect_uri the answer may go to.

    Raises OAuthRefusal, which must be shown to the user and never be redirected.
    """
    client = clients.get(params.get("client_id", ""))
    if client is None:
        raise OAuthRefusal("invalid_client", "This app is not registered here.")
    if params.get("redirect_uri") not in client.redirect_uris:
        raise OAuthRefusal("invalid_request", "The app's redirect_uri is not registered.")
    return client


def parse_authorize_request(
    params: Mapping[str, str], client: Client, audiences: Collection[str]
) -> AuthorizeRequest:
    """Return the request; raise OAuthRefusal, to be sent to the client's redirect_uri."""
    if params.get("response_type") != "code":
        raise OAuthRefusal("unsupported_response_type", "response_type must be code")
    if params.get("aud") not in audiences:
        raise OAuthRefusal("invalid_request", "aud must be the FHIR base URL")
    if not params.get("state"):
        raise OAuthRefusal("invalid_request", "state is required")
    if params.get("code_challenge_method") != "S256":
        raise OAuthRefusal("invalid_request", "PKCE with S256 is required")
    if not _CHALLENGE.fullmatch(params.get("code_challenge", "")):
        raise OAuthRefusal("invalid_request", "code_challenge must be 43 base64url characters")
    scope = params.get("scope", "")
    if params.get("launch") is not None and not _asks_for_launch(scope):
        raise OAuthRefusal("invalid_scope", "a launch parameter needs the scope launch")
    return AuthorizeRequest(
        client,
        params["redirect_uri"],
        scope,
        params["aud"],
        params["code_challenge"],
        params.get("launch"),
        params.get("nonce"),
        params.get("login"),
    )


def matches_challenge(verifier: str, challenge: str) -> bool:
    """Tell whether the PKCE verifier is the one the challenge was made from."""
    if not _VERIFIER.fullmatch(verifier):
        return False
    digest = hashlib.sha256(verifier.encode()).digest()
    derived = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return hmac.compare_digest(derived, challenge)


def _asks_for_launch(scope: str) -> bool:
    return any(part == "launch" or part.startswith("launch/") for part in scope.split())
