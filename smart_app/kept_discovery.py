"""What an EHR's discovery said a moment ago: a launch need not ask for it again.

Source: SMART App Launch 2.2 "Conformance"; RFC 9111 (a short life, as its authors may set it).
"""

from dataclasses import asdict, fields
from hashlib import sha256

from cds_service.domain.tenant import Tenant
from smart_app.discovery import AuthorizationServer, discover
from smart_app.services import AppServices
from smart_app.session import SealedStore

KEPT_S = 120  # an administrator who changes the EHR waits no longer
KIND = "discovery"  # in the sealed store


def known_server(tenant: Tenant, house: AppServices) -> AuthorizationServer:
    """Return the tenant's authorization server, asked at most KEPT_S ago; raises as `discover`."""
    store, handle = SealedStore(house.redis, house.vault), _handle(tenant)
    kept = store.get(KIND, handle)
    if kept is not None:
        return AuthorizationServer(**kept)
    server = discover(tenant, house.egress.session_for(tenant))
    store.put(KIND, handle, asdict(server), KEPT_S)
    return server


def _handle(tenant: Tenant) -> str:
    """Name what was read for this registration, by this version of Sightline."""
    members = [field.name for field in fields(AuthorizationServer)]
    read_for = repr((tenant.fhir_base, tenant.client_kind, members))
    return f"{tenant.id}.{sha256(read_for.encode()).hexdigest()}"
