"""The EHR as one sign-in reads it: a token that it refuses is renewed once, or the sign-in is over.

A page that only left out what the EHR no longer gives would go on showing the rest of a chart to
somebody whose sign-in was taken back.

Source: RFC 6750 3.1 (401 invalid_token, 403 insufficient_scope); SMART App Launch 2.2 "Refresh
access token"; threat T8.
"""

from collections.abc import Callable
from dataclasses import replace

from cds_service.domain.hook import FhirAuthorization
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrTokenRefused
from cds_service.usecases.ports import Resource
from smart_app.refresh import ended, replaced
from smart_app.services import AppServices
from smart_app.session import LaunchSession

Read = Callable[[FhirAuthorization | None], Resource]


class SignedInRecord:
    """The EhrRecord port for the requests of one session; raises SessionEnded as well.

    handle   of the session, without the part that names one of its charts
    """

    def __init__(
        self, handle: str, session: LaunchSession, tenant: Tenant, house: AppServices
    ) -> None:
        self._handle, self._session, self._tenant, self._house = handle, session, tenant, house

    def read(
        self,
        tenant: Tenant,
        path: str,
        *,
        authorization: FhirAuthorization | None,
        timeout_s: float,
    ) -> Resource:
        """Read one resource or one search."""
        return self._read(
            lambda bearer: self._house.ehr.read(
                tenant, path, authorization=bearer, timeout_s=timeout_s
            ),
            authorization,
        )

    def read_on(
        self,
        tenant: Tenant,
        kind: str,
        url: str,
        *,
        authorization: FhirAuthorization | None,
        timeout_s: float,
    ) -> Resource:
        """Read a search on from one of its pages."""
        return self._read(
            lambda bearer: self._house.ehr.read_on(
                tenant, kind, url, authorization=bearer, timeout_s=timeout_s
            ),
            authorization,
        )

    def _read(self, read: Read, authorization: FhirAuthorization | None) -> Resource:
        if authorization is None:
            return read(None)
        try:
            return read(self._with_token(authorization))
        except EhrTokenRefused:
            self._session = replaced(self._handle, self._session, self._tenant, self._house)
        try:
            return read(self._with_token(authorization))
        except EhrTokenRefused as error:
            raise ended(self._handle, self._house) from error

    def _with_token(self, authorization: FhirAuthorization) -> FhirAuthorization:
        session = self._session
        return replace(authorization, access_token=session.access_token, scope=session.scope)
