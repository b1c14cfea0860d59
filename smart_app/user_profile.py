"""What the EHR's record says of who signed in: their languages, and their roles where they count.

Nothing here is needed to open the app: what may not be read, or does not come, is not known.

Source: SMART App Launch 2.2 "fhirUser" (a resource about the user); FHIR R4 Practitioner,
PractitionerRole.
"""

import logging
from dataclasses import dataclass
from typing import Any

from cds_service.domain.hook import FhirAuthorization
from cds_service.domain.tenant import Tenant
from cds_service.errors import ScopeDenied, UpstreamFailed
from cds_service.fhir.practitioner import languages_in, practitioner_of, roles_in
from smart_app.grant import Access
from smart_app.services import AppServices

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 2.0  # a launch waits no longer for each of these reads


@dataclass(frozen=True, slots=True)
class UserProfile:
    """What is known of a user beside their name."""

    languages: tuple[str, ...] = ()  # BCP 47, the preferred first
    roles: tuple[str, ...] = ()  # "PractitionerRole/7"; looked up where a rule of the site names


def profile_of(user: str | None, tenant: Tenant, access: Access, house: AppServices) -> UserProfile:
    """Read who this fhirUser is, with the launch's own token; never raises."""
    if user is None:
        return UserProfile()
    record = _Record(tenant, access, house)
    person = record.read(user)
    practitioner: str | None = user
    if user.startswith("PractitionerRole/"):
        practitioner = practitioner_of(person)
        person = record.read(practitioner) if practitioner else {}
    roles: tuple[str, ...] = ()
    if tenant.names_roles and practitioner and practitioner.startswith("Practitioner/"):
        found = record.read(f"PractitionerRole?practitioner={practitioner}")
        roles = roles_in(found, practitioner, house.clock().date())
    return UserProfile(languages_in(person), roles)


class _Record:
    """The EHR's FHIR server under the token of one launch; {} for what it does not give."""

    def __init__(self, tenant: Tenant, access: Access, house: AppServices) -> None:
        self._tenant, self._house = tenant, house
        self._authorization = FhirAuthorization(
            access.access_token, access.scope, access.expires_in_s
        )

    def read(self, path: str) -> dict[str, Any]:
        try:
            resource = self._house.ehr.read(
                self._tenant, path, authorization=self._authorization, timeout_s=READ_TIMEOUT_S
            )
        except (UpstreamFailed, ScopeDenied) as error:
            log.info("app: no profile, %s, tenant=%s", type(error).__name__, self._tenant.id)
            return {}
        return dict(resource)
