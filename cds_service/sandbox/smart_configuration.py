"""The two discovery documents of the authorization server.

Source: SMART App Launch 2.2 "Conformance"; OpenID Connect Discovery 1.0; RFC 8414, RFC 9207.
"""

from typing import Any

from cds_service.sandbox.authorization import sightline_scopes
from cds_service.sandbox.client_assertion import ALGORITHMS
from cds_service.sandbox.config import SandboxConfig

IMAGING_ACCESS = "smart-imaging-access"  # Argonaut; of the server beside, not of this one
CAPABILITIES = (
    "launch-ehr",
    "launch-standalone",
    "authorize-post",
    "client-public",
    "client-confidential-symmetric",
    "client-confidential-asymmetric",
    "context-banner",
    "context-style",
    "context-ehr-patient",
    "context-ehr-encounter",
    "context-standalone-patient",
    "sso-openid-connect",
    "permission-online",
    "permission-offline",
    "permission-patient",
    "permission-user",
    "permission-v1",
    "permission-v2",
)


def smart_configuration(config: SandboxConfig) -> dict[str, Any]:
    """Return `.well-known/smart-configuration` of the FHIR base."""
    return {
        "issuer": config.auth_base,
        "jwks_uri": f"{config.auth_base}/jwks.json",
        "authorization_endpoint": f"{config.auth_base}/authorize",
        "token_endpoint": f"{config.auth_base}/token",
        "introspection_endpoint": f"{config.auth_base}/introspect",
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "authorization_response_iss_parameter_supported": True,
        "scopes_supported": sightline_scopes(config.lacks).split(),
        "capabilities": list(CAPABILITIES),
        "associated_endpoints": [{"url": config.imaging_base, "capabilities": [IMAGING_ACCESS]}],
    }


def openid_configuration(config: SandboxConfig) -> dict[str, Any]:
    """Return `.well-known/openid-configuration` of the issuer."""
    return {
        **smart_configuration(config),
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "nonce", "fhirUser"],
    }
