"""Read an EHR's FHIR R4 server: one resource or one search, checked against what was asked.

Source: FHIR R4 3.1.0 (RESTful API, paging); RFC 9111 5.2.1.4 (no-cache); SMART App Launch 2.2
scopes; threats T7 and T23.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urljoin

import requests

from cds_service.adapters.backend_token import BackendTokens
from cds_service.adapters.egress import MEBIBYTE, Egress, same_origin
from cds_service.adapters.pauses import BUSY, Pauses
from cds_service.adapters.token_endpoint import Token
from cds_service.domain.hook import FhirAuthorization
from cds_service.domain.smart_scope import allows
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    EhrAnswerInvalid,
    EhrBusy,
    EhrRefused,
    EhrTimedOut,
    EhrTokenRefused,
    ScopeDenied,
)
from cds_service.fhir import bounded_json
from cds_service.fhir.bundle import next_link, searchset
from cds_service.usecases.ports import Resource

FHIR_JSON = "application/fhir+json"
# Else HAPI FHIR's own store answers a search from memory for a minute, and what is new is missed.
FRESH = {"Cache-Control": "no-cache"}
MAX_PAGES = 5
MAX_BYTES = 4 * MEBIBYTE  # of one answer
BODY_S = 5.0  # for one body
# For one body of a hook, which leaves at 0.45 s: an EHR that drips held the threads that all
# hooks share for 5 s after each of them had gone.
SHORT_BODY_S = 0.5
FAIR_S = 0.2  # an EHR that is late within less has not failed
UNSORTED_COUNT = 100  # asked for on a page where the newest may be anywhere
_NOT_UNDERSTOOD = {400, 422, 501}


class FhirRecord:
    """The EhrRecord port over HTTP."""

    def __init__(
        self,
        egress: Egress,
        tokens: BackendTokens,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._egress, self._tokens, self._clock = egress, tokens, clock
        self._pauses = Pauses(clock)
        self.unsorted: set[str] = set()  # tenant ids: these EHRs refuse _sort

    def read(
        self,
        tenant: Tenant,
        path: str,
        *,
        authorization: FhirAuthorization | None,
        timeout_s: float,
    ) -> Resource:
        """Read "Patient/1", or search "ImagingStudy?patient=1" into one searchset Bundle.

        An EHR that refuses `_sort` is asked without, and so answers in an order of its own.

        Without `authorization` our Backend Services token is used, or no token at an EHR where
        we are no client (an open server). Raises ScopeDenied before any call, EhrRefused
        (EhrTokenRefused for a 401), EhrBusy, EhrTimedOut, EhrAnswerInvalid or EndpointNotAllowed.
        """
        kind = path.partition("?")[0].partition("/")[0]
        asked = _Asked(kind, "s" if "?" in path else "r", lambda one: one.resource_at(path))
        return self._read(tenant, asked, authorization, timeout_s)

    def read_on(
        self,
        tenant: Tenant,
        kind: str,
        url: str,
        *,
        authorization: FhirAuthorization | None,
        timeout_s: float,
    ) -> Resource:
        """Read a search for `kind` on from its page at `url`, which may be relative.

        Raises as `read`, and EhrAnswerInvalid before any call when `url` is not at the FHIR
        base's own origin.
        """
        page = urljoin(f"{tenant.fhir_base}/", url)
        _require_same_place(page, tenant.fhir_base)
        asked = _Asked(kind, "s", lambda one: one.search_from(page))
        return self._read(tenant, asked, authorization, timeout_s)

    def _read(
        self,
        tenant: Tenant,
        asked: "_Asked",
        authorization: FhirAuthorization | None,
        timeout_s: float,
    ) -> Resource:
        self._pauses.require_none(tenant)
        try:
            resource = self._read_now(tenant, asked, authorization, timeout_s)
        except (EhrBusy, EhrTimedOut):
            if timeout_s >= FAIR_S:
                self._pauses.failed(tenant)
            raise
        except (EhrRefused, EhrAnswerInvalid):
            self._pauses.answered(tenant)
            raise
        self._pauses.answered(tenant)
        return resource

    def _read_now(
        self,
        tenant: Tenant,
        asked: "_Asked",
        authorization: FhirAuthorization | None,
        timeout_s: float,
    ) -> Resource:
        deadline = self._clock() + timeout_s
        if authorization is not None:
            asked.require_scope(authorization.scope)
            return asked.of(_Reading(self, tenant, authorization.access_token, deadline))
        token = self._tokens.token(tenant, timeout_s=timeout_s)
        if token is None:
            return asked.of(_Reading(self, tenant, None, deadline))
        return self._read_with(tenant, asked, token, deadline)

    def _read_with(
        self, tenant: Tenant, asked: "_Asked", token: Token, deadline: float
    ) -> Resource:
        asked.require_scope(token.scope)
        try:
            return asked.of(_Reading(self, tenant, token.access_token, deadline))
        except EhrRefused:
            self._tokens.forget(tenant, token)  # perhaps revoked: the next read asks again
            raise

    def get(self, tenant: Tenant, url: str, bearer: str | None, deadline: float) -> object:
        """GET one JSON document from this EHR, as a parsed value."""
        left_s = deadline - self._clock()
        if left_s <= 0:
            raise EhrTimedOut("The EHR gave no answer in time.")
        headers = {"Accept": FHIR_JSON, **FRESH}
        if bearer is not None:
            headers["Authorization"] = f"Bearer {bearer}"
        # Two limits and no more: a session's connections are kept per limit.
        body_s = SHORT_BODY_S if left_s <= SHORT_BODY_S else BODY_S
        session = self._egress.session_for(tenant, body_s=body_s, max_bytes=MAX_BYTES)
        try:
            response = session.get(url, headers=headers, timeout=left_s)
        except requests.Timeout as error:
            raise EhrTimedOut("The EHR gave no answer in time.") from error
        except requests.RequestException as error:
            raise EhrBusy("The EHR could not be reached.") from error
        self._check_status(tenant, response)
        try:
            return bounded_json.parse(response.content)
        except ValueError as error:
            raise EhrAnswerInvalid("The EHR did not answer FHIR JSON.") from error

    def _check_status(self, tenant: Tenant, response: requests.Response) -> None:
        status = response.status_code
        if status == 401:
            raise EhrTokenRefused("The EHR answered 401 to a read.")
        if status == 403:
            raise EhrRefused("The EHR answered 403 to a read.")
        if status in BUSY:
            self._pauses.asked_for(tenant, response.headers)
            raise EhrBusy(f"The EHR answered {status} to a read.")
        if status in _NOT_UNDERSTOOD:
            raise _NotUnderstood(f"The EHR answered {status} to a read.")
        if status != 200:
            raise EhrAnswerInvalid(f"The EHR answered {status} to a read.")


class _Reading:
    """One read or search at one EHR, with one bearer and one deadline."""

    def __init__(
        self, record: FhirRecord, tenant: Tenant, bearer: str | None, deadline: float
    ) -> None:
        self._record, self._tenant = record, tenant
        self._bearer, self._deadline = bearer, deadline

    def resource_at(self, path: str) -> Resource:
        url = f"{self._tenant.fhir_base}/{path}"
        if "?" in path:
            return self._search(url)
        kind, _, logical_id = path.partition("/")
        resource = self._get(url)
        if resource.get("resourceType") != kind or resource.get("id") != logical_id:
            raise EhrAnswerInvalid("The EHR answered another resource than the one asked for.")
        return resource

    def _search(self, url: str) -> Resource:
        plain = _without_sort(url)
        if plain == url or self._tenant.id in self._record.unsorted:
            return self.search_from(plain)
        try:
            return self.search_from(url)
        except _NotUnderstood:
            found = self.search_from(plain)
            self._record.unsorted.add(self._tenant.id)
            return found

    def search_from(self, url: str) -> Resource:
        """Read all pages; the Bundle keeps its `next` link when there are more than MAX_PAGES."""
        entries: list[Any] = []
        for _ in range(MAX_PAGES):
            page = self._get(url)
            if page.get("resourceType") == "OperationOutcome":
                raise _NotUnderstood("The EHR answered a search with an OperationOutcome.")
            if page.get("resourceType") != "Bundle":
                raise EhrAnswerInvalid("The EHR did not answer a search with a Bundle.")
            found = page.get("entry", [])
            if not isinstance(found, list):
                raise EhrAnswerInvalid("The EHR answered a Bundle without a list of entries.")
            entries.extend(found)
            following = next_link(page)
            if following is None:
                return searchset(entries)
            _require_same_place(following, url)
            url = urljoin(url, following)
        return searchset(entries, following=url)

    def _get(self, url: str) -> dict[str, Any]:
        document = self._record.get(self._tenant, url, self._bearer, self._deadline)
        if not isinstance(document, dict):
            raise EhrAnswerInvalid("The EHR did not answer a FHIR resource.")
        return document


class _NotUnderstood(EhrAnswerInvalid):
    """The EHR does not do what was asked for; perhaps it does less."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is read, and the right that it needs."""

    kind: str
    letter: str  # of SMART v2: r or s
    of: Callable[[_Reading], Resource]

    def require_scope(self, scope: str) -> None:
        if not allows(scope, self.kind, self.letter):
            raise ScopeDenied(f"The granted scopes do not allow to read {self.kind}.")


def _without_sort(url: str) -> str:
    base, _, query = url.partition("?")
    parameters = parse_qsl(query, keep_blank_values=True)
    if "_sort" not in dict(parameters):
        return url
    others = [(name, value) for name, value in parameters if name not in ("_sort", "_count")]
    return f"{base}?{urlencode([*others, ('_count', UNSORTED_COUNT)])}"


def _require_same_place(url: str, base: str) -> None:
    """The bearer goes with it, so it must stay where we are."""
    if not same_origin(url, base):
        raise EhrAnswerInvalid("The EHR's next page is at another address.")
