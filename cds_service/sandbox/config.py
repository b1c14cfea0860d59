"""What one sandbox EHR needs to know, as one frozen value.

Source: SMART App Launch 2.2 (client registration); CDS Hooks 2.0 (service address).
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


def utc_now() -> datetime:
    """Return the present moment, aware, in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class SandboxConfig:
    """Every knob of the sandbox; URLs carry no trailing slash.

    origin               public origin of the chart and its servers, e.g. http://localhost:8001
    data                 folder of the SQLite file, the archive and the keys
    service_base         base of the CDS service; it answers at {service_base}/cds-services
    app_jwks_url         where the public keys of the client `client_id` are read
    clinician            the signed-in EHR user, "Practitioner/<id>"
    lacks                resource types that this EHR knows nothing of, as Oracle Health's
                         knows no ImagingStudy
    further_audiences    other FHIR bases that trust this authorization server's tokens
    """

    origin: str
    data: Path
    service_base: str
    app_launch_url: str
    app_redirect_uris: tuple[str, ...]
    app_jwks_url: str
    service_id: str = "imaging-ai-findings"
    client_id: str = "sightline"
    clinician: str = "Practitioner/clinician"
    lacks: frozenset[str] = frozenset()
    further_audiences: tuple[str, ...] = ()
    archive_requires_token: bool = True
    now: Callable[[], datetime] = utc_now

    @property
    def fhir_base(self) -> str:
        """The FHIR base URL, which is also the SMART `iss` and the `iss` of hook JWTs."""
        return f"{self.origin}/fhir"

    @property
    def auth_base(self) -> str:
        """The authorization server's base, which is the OpenID Connect issuer."""
        return f"{self.origin}/auth"

    @property
    def imaging_base(self) -> str:
        """The FHIR base of SMART Imaging Access: the launch's own way to its images."""
        return f"{self.origin}/imaging"

    @property
    def archive_base(self) -> str:
        """The DICOMweb base URL, as it stands in Endpoint.address."""
        return f"{self.origin}/dicom-web"
