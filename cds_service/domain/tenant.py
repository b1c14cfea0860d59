"""A tenant: one registered EHR, with the addresses and policies that its site chose.

Source: CDS Hooks 2.0 "Trusting CDS Clients"; SMART App Launch 2.2 "App registration".
"""

from dataclasses import dataclass
from enum import StrEnum


class Vendor(StrEnum):
    """Whose dialect the EHR speaks."""

    GENERIC = "generic"
    EPIC = "epic"
    ORACLE = "oracle"


@dataclass(frozen=True, slots=True)
class Tenant:
    """One EHR as registered by its administrator.

    Every URL here is an address that egress may call for this tenant, and no other.
    Exactly one of `jwks_url` and `jwks` (a pinned JWK set as JSON text) is set.
    """

    id: str  # opaque; part of every key in the ledger
    name: str
    fhir_base: str  # no trailing slash; also the SMART iss
    hook_issuer: str  # iss of its CDS Hooks JWTs
    jwks_url: str | None = None
    jwks: str | None = None
    jku: str | None = None  # the only jku header accepted; None: the header is ignored
    client_id: str | None = None  # ours at this EHR; None: no app launch, no Backend Services
    archive_base: str | None = None  # DICOMweb origin server, used when a study names none
    origins: tuple[str, ...] = ()  # of its pages: CORS and frame-ancestors
    vendor: Vendor = Vendor.GENERIC
    backend_services: bool = True  # may read with our own token when a hook brings none
    shows_running: bool = True  # "analysis running" cards
    shows_negative: bool = False  # "found no signs" cards

    def __post_init__(self) -> None:
        if (self.jwks_url is None) == (self.jwks is None):
            raise ValueError("a tenant has either a JWKS address or a pinned JWK set")
