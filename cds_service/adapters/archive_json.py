"""Ask an archive for JSON: under the tenant's allow-list and token, within limits.

Source: DICOM PS3.18 10.6 (search), F (DICOM JSON model).
"""

from collections.abc import Callable, Mapping
from typing import Any

import requests

from cds_service.adapters.archive_auth import AuthFor, refused, unsigned
from cds_service.adapters.egress import MEBIBYTE
from cds_service.adapters.kept_token import WAIT_S
from cds_service.domain.intake import Clue, clue_of
from cds_service.domain.tenant import Tenant
from cds_service.errors import ArchiveFailed, EhrAnswerInvalid, EhrTimedOut
from cds_service.fhir import bounded_json

MAX_BYTES = 8 * MEBIBYTE  # of one answer
TIMEOUT_S = 20.0
STUDY_UID, ACCESSION = "0020000D", "00080050"
STUDY_INSTANCES = "00201208"  # Number of Study Related Instances

Json = Mapping[str, Any]


class ArchiveJson:
    """GET, and nothing else."""

    def __init__(
        self,
        session_for: Callable[..., requests.Session],
        auth_for: AuthFor = unsigned,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """`timeout_s`: to connect, between two packets, and for a whole body."""
        self._session_for, self._auth_for = session_for, auth_for
        self._timeout_s = timeout_s

    def get(
        self, tenant: Tenant, url: str, params: Mapping[str, str | int] | None = None
    ) -> object:
        """Return the parsed answer; None where the archive says that there is nothing.

        Raises ArchiveFailed, ArchiveRefused or EndpointNotAllowed, and as the EHR's token
        endpoint does.
        """
        session = self._session_for(tenant, max_bytes=MAX_BYTES, body_s=self._timeout_s)
        headers = {"Accept": "application/dicom+json, application/json"}
        auth = self._auth_for(tenant, url, timeout_s=min(WAIT_S, self._timeout_s))
        try:
            response = session.get(
                url, params=params, headers=headers, auth=auth, timeout=self._timeout_s
            )
            return _parsed(response)
        except (EhrAnswerInvalid, EhrTimedOut, requests.RequestException, ValueError) as error:
            # Their texts may hold the address, and with it the study's UID.
            raise ArchiveFailed("The archive did not answer with JSON.") from error

    def objects(
        self, tenant: Tenant, url: str, params: Mapping[str, str | int] | None = None
    ) -> list[Json]:
        """Return the objects of an array; raises as `get`."""
        found = self.get(tenant, url, params)
        if found is not None and not isinstance(found, list):
            raise ArchiveFailed("The archive did not answer with a list.")
        return [one for one in found or () if isinstance(one, dict)]


def study_clue(dataset: Json) -> Clue | None:
    """Return which study a row of a QIDO-RS answer is about."""
    return clue_of(value_of(dataset, STUDY_UID), value_of(dataset, ACCESSION))


def value_of(dataset: Json, tag: str) -> object:
    """Return the first value of an element of the DICOM JSON model, or None."""
    return next(iter(values_of(dataset, tag)), None)


def values_of(dataset: Json, tag: str) -> list[object]:
    """Return the values of an element of the DICOM JSON model, or none."""
    element = dataset.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return values if isinstance(values, list) else []


def _parsed(response: requests.Response) -> object:
    if response.status_code in (401, 403):
        raise refused(response.status_code)
    if response.status_code in (204, 404, 410):
        return None
    if response.status_code != 200:
        raise ArchiveFailed(f"The archive answered HTTP {response.status_code}.")
    return bounded_json.parse(response.content)
