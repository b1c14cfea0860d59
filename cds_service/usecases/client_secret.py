"""Our secret at an EHR where Sightline is a symmetric client: kept sealed, opened to be sent.

Source: SMART App Launch 2.2 "Client Authentication: Symmetric (shared secret)"; RFC 6749 2.3.1.
"""

from cds_service.domain.tenant import Tenant
from cds_service.errors import SightlineError
from cds_service.usecases.seal_context import Sealer

PURPOSE = "client-secret"


def seal_client_secret(tenant_id: str, secret: str, *, vault: Sealer) -> bytes:
    """Return what the register keeps."""
    return vault.seal(PURPOSE, tenant_id, secret.encode())


def open_client_secret(tenant: Tenant, *, vault: Sealer) -> str:
    """Return the secret; raise SightlineError where there is none, or the master key changed."""
    if tenant.client_secret is None:
        raise SightlineError("This EHR is registered without a client secret.")
    return vault.open(PURPOSE, tenant.id, tenant.client_secret).decode()
