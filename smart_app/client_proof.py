"""How Sightline proves at an EHR's token endpoint who it is, as this EHR registered it.

Source: SMART App Launch 2.2 "Obtain access token" (client_id in the body for public clients
only), "Asymmetric Client Authentication", "Symmetric Client Authentication"; RFC 6749 2.3.1.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import quote_plus

from cds_service.domain.smart_client import ClientKind
from cds_service.domain.tenant import Tenant
from cds_service.errors import LaunchRefused
from cds_service.usecases.client_secret import open_client_secret
from smart_app.discovery import AuthorizationServer
from smart_app.services import AppServices

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True)
class ClientProof:
    """What a token request carries besides the grant; good for one request."""

    body: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def proof_for(tenant: Tenant, server: AuthorizationServer, house: AppServices) -> ClientProof:
    """Return a fresh proof for this token endpoint; raise LaunchRefused without a client id."""
    if tenant.client_id is None:
        raise LaunchRefused("This EHR is no longer registered for opening the app.")
    if tenant.client_kind is ClientKind.PUBLIC:
        return ClientProof(body={"client_id": tenant.client_id})
    if tenant.client_kind is ClientKind.SYMMETRIC:
        secret = open_client_secret(tenant, vault=house.vault)
        pair = f"{quote_plus(tenant.client_id)}:{quote_plus(secret)}"  # RFC 6749 2.3.1
        return ClientProof(headers={"Authorization": f"Basic {b64encode(pair.encode()).decode()}"})
    assertion = house.assertions.sign(
        tenant.client_id, server.token_endpoint, server.assertion_algorithm
    )
    return ClientProof(
        body={"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}
    )
