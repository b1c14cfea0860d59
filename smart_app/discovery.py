"""Discovery: what an EHR's authorization server says about itself.

Source: SMART App Launch 2.2 "Conformance", `/.well-known/smart-configuration`; RFC 8414.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests

from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, LaunchRefused
from smart_app.ehr_http import answer_of, object_in

RESOURCES = (
    ("Patient", "r"),
    ("ImagingStudy", "rs"),
    ("Observation", "rs"),
    ("DiagnosticReport", "rs"),
)


@dataclass(frozen=True, slots=True)
class AuthorizationServer:
    """The addresses of one authorization server, as its own document states them."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    speaks_v2_scopes: bool

    @property
    def scope(self) -> str:
        """Return the scopes to ask for: the least that the study view needs."""
        resources = (
            f"patient/{kind}.{letters if self.speaks_v2_scopes else 'read'}"
            for kind, letters in RESOURCES
        )
        return " ".join(("launch", "openid", "fhirUser", *resources))


def discover(tenant: Tenant, session: requests.Session) -> AuthorizationServer:
    """Read the tenant's SMART configuration.

    Raises UpstreamFailed when there is none, and LaunchRefused when the server cannot do what a
    safe launch needs: PKCE with S256, private_key_jwt, and a verifiable id_token.
    """
    address = f"{tenant.fhir_base}/.well-known/smart-configuration"
    response = answer_of(lambda: session.get(address, headers={"Accept": "application/json"}))
    if response.status_code != 200:
        raise EhrAnswerInvalid("The EHR has no SMART configuration at its registered address.")
    document = object_in(response)
    if "S256" not in _texts(document, "code_challenge_methods_supported"):
        raise LaunchRefused("The EHR's sign-in does not offer PKCE with S256.")
    methods = _texts(document, "token_endpoint_auth_methods_supported")
    if methods and "private_key_jwt" not in methods:
        raise LaunchRefused("The EHR's sign-in does not accept signed client assertions.")
    capabilities = _texts(document, "capabilities")
    issuer = document.get("issuer")
    if not isinstance(issuer, str) or not issuer:
        raise LaunchRefused("The EHR's sign-in does not say who issues its identity tokens.")
    return AuthorizationServer(
        issuer=issuer,
        authorization_endpoint=_address(document, "authorization_endpoint", tenant),
        token_endpoint=_address(document, "token_endpoint", tenant),
        jwks_uri=_address(document, "jwks_uri", tenant),
        speaks_v2_scopes="permission-v2" in capabilities or "permission-v1" not in capabilities,
    )


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
