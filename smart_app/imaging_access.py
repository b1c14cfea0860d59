"""Whose credentials fetch a launch's pictures: the user's own token where the EHR offers that.

Source: Argonaut SMART Imaging Access (draft); SMART App Launch 2.2 `associated_endpoints`,
"Access FHIR API" (a token goes to no other server); threat T7.
"""

import logging
from dataclasses import replace
from hashlib import sha256
from urllib.parse import quote, urlsplit

from cds_service.domain.study import StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import UpstreamFailed
from cds_service.fhir.imaging_access import token_address
from cds_service.usecases.ports import Archive
from smart_app.ehr_http import answer_of, object_in
from smart_app.open_launch import OpenLaunch
from smart_app.session import SealedStore

log = logging.getLogger(__name__)


def archive_for(launch: OpenLaunch, study: StudyReference) -> tuple[Archive, StudyReference]:
    """Return the archive to read this study from, and the study as it is known there.

    With SMART Imaging Access it is the study's own DICOMweb address under the launch's token, and
    nothing else: where the EHR refuses this user, our own credentials are no way around it.
    """
    address = _address(launch, study)
    if address is None:
        return launch.house.archive, study
    archive = launch.house.archive_as(launch.session.access_token)
    return archive, replace(study, archive_url=address)


def _address(launch: OpenLaunch, study: StudyReference) -> str | None:
    base = launch.session.authorization_server.imaging_base
    if base is None or not launch.session.may("ImagingStudy", "s"):
        return None
    store = SealedStore(launch.house.redis, launch.house.vault)
    kind = f"imaging:{sha256(study.study_uid.encode()).hexdigest()[:16]}"  # keys are not sealed
    kept = store.get(kind, launch.handle)
    if kept is None:
        try:
            kept = {"address": _asked(launch, study, base)}
        except UpstreamFailed as error:
            log.warning(
                "app: no imaging access, %s, tenant=%s", type(error).__name__, launch.tenant.id
            )
            return None
        life_s = launch.session.life_s(launch.house.clock().timestamp())
        store.put(kind, launch.handle, kept, life_s)
    address: str | None = kept["address"]
    return address


def _asked(launch: OpenLaunch, study: StudyReference, base: str) -> str | None:
    """Ask the imaging server where the study is; None unless our registration allows the place.

    Raises UpstreamFailed; EndpointNotAllowed where the imaging server itself is not registered.
    """
    ehr = launch.house.egress.session_for(launch.tenant)  # registered addresses only
    url = f"{base}/ImagingStudy?patient={quote(launch.session.patient_id, safe='')}"
    headers = {
        "Accept": "application/fhir+json",
        "Authorization": f"Bearer {launch.session.access_token}",
    }
    response = answer_of(lambda: ehr.get(url, headers=headers))
    if response.status_code != 200:
        raise UpstreamFailed("The EHR's imaging server did not list the studies.")
    owner = (launch.session.tenant_id, launch.session.patient_id)
    address = token_address(object_in(response), study.study_uid, *owner)
    if address is not None and not _is_registered(address, launch.tenant):
        log.warning("app: an image address is not registered, tenant=%s", launch.tenant.id)
        return None
    return address


def _is_registered(address: str, tenant: Tenant) -> bool:
    """Tell early what egress would refuse, so that the archive's own credentials can serve."""
    return any(
        urlsplit(address)[:2] == urlsplit(known)[:2]
        for known in (tenant.fhir_base, *tenant.web_archives)
    )
