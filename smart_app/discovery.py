"""Discovery: what an EHR's authorization server says about itself.

Source: SMART App Launch 2.2 "Conformance", `/.well-known/smart-configuration`; OpenID Connect
Discovery 1.0 4; RFC 8414.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from cds_service.domain.smart_client import ClientKind, assertion_algorithm
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, LaunchRefused
from smart_app.ehr_http import answer_of, object_in

NAMES_ITSELF = "authorization_response_iss_parameter_supported"  # RFC 9207 3
IMAGING_ACCESS = "smart-imaging-access"
_METHODS = {ClientKind.ASYMMETRIC: "private_key_jwt", ClientKind.SYMMETRIC: "client_secret_basic"}


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """The addresses of one authorization server, as its own document states them."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str | None  # None: the issuer's OpenID configuration names it
    speaks_v2_scopes: bool
    accepts_post: bool = False  # of an authorization request
    refresh_scope: str = ""  # what to ask for a refresh token, "" where there is none
    assertion_algorithm: str = "ES384"
    names_itself: bool = False  # in every answer to an authorization request (RFC 9207)
    imaging_base: str | None = None  # FHIR base that takes the launch's token for images


def discover(tenant: Tenant, session: requests.Session) -> AuthorizationServer:
    """Read the tenant's SMART configuration; raises as `smart_configuration` and `server_in`."""
    return server_in(smart_configuration(tenant, session), tenant)


def smart_configuration(tenant: Tenant, session: requests.Session) -> Mapping[str, Any]:
    """Return the document as it is; raise UpstreamFailed when there is none."""
    address = f"{tenant.fhir_base}/.well-known/smart-configuration"
    response = answer_of(lambda: session.get(address, headers={"Accept": "application/json"}))
    if response.status_code != 200:
        raise EhrAnswerInvalid("The EHR has no SMART configuration at its registered address.")
    return object_in(response)


def server_in(document: Mapping[str, Any], tenant: Tenant) -> AuthorizationServer:
    """Return what the document says.

    Raises LaunchRefused when the server cannot do what a safe launch needs: PKCE with S256, our
    way to authenticate, and a verifiable id_token.
    """
    if "S256" not in _texts(document, "code_challenge_methods_supported"):
        raise LaunchRefused("The EHR's sign-in does not offer PKCE with S256.")
    capabilities = capabilities_in(document)
    issuer = document.get("issuer")
    if not isinstance(issuer, str) or not issuer:
        raise LaunchRefused("The EHR's sign-in does not say who issues its identity tokens.")
    return AuthorizationServer(
        issuer=issuer,
        authorization_endpoint=_address(document, "authorization_endpoint", tenant),
        token_endpoint=_address(document, "token_endpoint", tenant),
        jwks_uri=_address(document, "jwks_uri", tenant) if document.get("jwks_uri") else None,
        speaks_v2_scopes="permission-v2" in capabilities or "permission-v1" not in capabilities,
        accepts_post="authorize-post" in capabilities,
        refresh_scope=_refresh_scope(tenant, capabilities),
        assertion_algorithm=_way_in(document, tenant),
        names_itself=document.get(NAMES_ITSELF) is True,
        imaging_base=_imaging_base(document, tenant, capabilities),
    )


def capabilities_in(document: Mapping[str, Any]) -> frozenset[str]:
    """Return the SMART capabilities that the document states."""
    return _texts(document, "capabilities")


def jwks_address(server: AuthorizationServer, tenant: Tenant, session: requests.Session) -> str:
    """Return where the keys of the id_token are; raise EhrAnswerInvalid, LaunchRefused."""
    if server.jwks_uri is not None:
        return server.jwks_uri
    address = openid_address(server)
    response = answer_of(lambda: session.get(address, headers={"Accept": "application/json"}))
    if response.status_code != 200:
        raise EhrAnswerInvalid("The EHR's issuer has no OpenID configuration.")
    document = object_in(response)
    if document.get("issuer") != server.issuer:
        raise LaunchRefused("The EHR's OpenID configuration is of another issuer.")
    return _address(document, "jwks_uri", tenant)


def openid_address(server: AuthorizationServer) -> str:
    """Return where the issuer describes itself (OpenID Connect Discovery 4.1)."""
    return f"{server.issuer.rstrip('/')}/.well-known/openid-configuration"


def _way_in(document: Mapping[str, Any], tenant: Tenant) -> str:
    """Return the algorithm of our assertions; raise LaunchRefused when we cannot authenticate."""
    methods = _texts(document, "token_endpoint_auth_methods_supported")
    wanted = _METHODS.get(tenant.client_kind)
    if methods and wanted is not None and wanted not in methods:
        raise LaunchRefused("The EHR's sign-in does not let this kind of app authenticate itself.")
    offered = _texts(document, "token_endpoint_auth_signing_alg_values_supported")
    algorithm = assertion_algorithm(offered)
    if algorithm is None and tenant.client_kind is ClientKind.ASYMMETRIC:
        raise LaunchRefused("The EHR's sign-in takes neither RS384 nor ES384 signatures.")
    return algorithm or ""


def _refresh_scope(tenant: Tenant, capabilities: frozenset[str]) -> str:
    """Prefer a refresh token that ends with the user's session.

    A public client asks for none that outlives it: nothing but the token itself would prove us.
    """
    if "permission-online" in capabilities:
        return "online_access"
    if "permission-offline" in capabilities and tenant.client_kind is not ClientKind.PUBLIC:
        return "offline_access"
    return ""


def _imaging_base(
    document: Mapping[str, Any], tenant: Tenant, capabilities: frozenset[str]
) -> str | None:
    """Return the FHIR base of SMART Imaging Access; whether it may be called, egress decides."""
    listed = document.get("associated_endpoints")
    for endpoint in listed if isinstance(listed, list) else []:
        if isinstance(endpoint, dict) and IMAGING_ACCESS in _texts(endpoint, "capabilities"):
            return _address(endpoint, "url", tenant).rstrip("/")
    return tenant.fhir_base if IMAGING_ACCESS in capabilities else None


def _texts(document: Mapping[str, Any], name: str) -> frozenset[str]:
    value = document.get(name)
    listed = value if isinstance(value, list) else []
    return frozenset(text for text in listed if isinstance(text, str))


def _address(document: Mapping[str, Any], name: str, tenant: Tenant) -> str:
    """Return one endpoint, resolved against the FHIR base (SMART 2.2: it may be relative).

    Plain http passes only where the FHIR base itself was registered with it.
    """
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise LaunchRefused(f"The EHR's SMART configuration has no {name}.")
    try:
        address = urljoin(f"{tenant.fhir_base}/", value)
        parts = urlsplit(address)
    except ValueError as error:
        raise LaunchRefused(f"The EHR's {name} is not an address.") from error
    allowed = {"https", urlsplit(tenant.fhir_base).scheme}
    if parts.scheme not in allowed or not parts.hostname or parts.username is not None:
        raise LaunchRefused(f"The EHR's {name} is not a safe address.")
    return address
