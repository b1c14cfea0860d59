"""Try an archive as it is read later: one row at the most, which is not looked at.

Unlike a search, a probe tells an address that does not exist from an archive that is empty.

Source: DICOM PS3.18 10.6 (QIDO-RS); Orthanc Book, "Tracking changes"; Azure Health Data Services,
"Change feed overview".
"""

from collections.abc import Callable, Mapping

import requests

from cds_service.adapters.archive_auth import AuthFor, refused
from cds_service.adapters.archive_json import MAX_BYTES
from cds_service.adapters.ehr_probe import PROBE_S
from cds_service.domain.intake import Door
from cds_service.domain.tenant import Tenant
from cds_service.errors import ArchiveFailed, EhrAnswerInvalid, EhrTimedOut
from cds_service.fhir import bounded_json

_FEEDS: Mapping[Door, tuple[str, Mapping[str, str | int], type]] = {
    Door.ORTHANC_CHANGES: ("changes", {"last": ""}, dict),
    Door.AZURE_CHANGE_FEED: ("changefeed", {"limit": 1, "includeMetadata": "false"}, list),
}


class ArchiveProbe:
    """Asks under the tenant's allow-list and credentials.

    Each method raises ArchiveFailed, ArchiveRefused or EndpointNotAllowed, and as the EHR's token
    endpoint does.
    """

    def __init__(self, session_for: Callable[..., requests.Session], auth_for: AuthFor) -> None:
        self._session_for, self._auth_for = session_for, auth_for

    def search(self, tenant: Tenant, base: str) -> None:
        """Search a DICOMweb archive for any one study."""
        self._ask(tenant, f"{base}/studies", {"limit": 1}, list)

    def feed(self, tenant: Tenant, door: Door) -> None:
        """Ask the registered change feed for its last change, or for any one."""
        path, params, kind = _FEEDS[door]
        self._ask(tenant, f"{tenant.change_feed}/{path}", params, kind)

    def _ask(self, tenant: Tenant, url: str, params: Mapping[str, str | int], kind: type) -> None:
        session = self._session_for(tenant, timeout_s=PROBE_S, body_s=PROBE_S, max_bytes=MAX_BYTES)
        headers = {"Accept": "application/dicom+json, application/json"}
        auth = self._auth_for(tenant, url, timeout_s=PROBE_S)
        try:
            response = session.get(url, params=params, headers=headers, auth=auth)
        except requests.Timeout as error:
            raise ArchiveFailed("The archive gave no answer in time.") from error
        except (EhrAnswerInvalid, EhrTimedOut, requests.RequestException) as error:
            raise ArchiveFailed("The archive could not be reached.") from error
        _require(response, kind)


def _require(response: requests.Response, kind: type) -> None:
    if response.status_code in (401, 403):
        raise refused(response.status_code)
    if response.status_code == 204 and kind is list:
        return
    if response.status_code != 200:
        raise ArchiveFailed(f"The archive answered HTTP {response.status_code}.")
    try:
        answer = bounded_json.parse(response.content)
    except ValueError as error:
        raise ArchiveFailed("The archive did not answer with JSON.") from error
    if not isinstance(answer, kind):
        raise ArchiveFailed("The archive did not answer as one.")
