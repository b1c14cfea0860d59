"""Fetch instances from a DICOMweb archive, as stored, under a budget.

Source: DICOM PS3.18 10.4 (Retrieve Transaction), 8.7.3.5.2 (transfer-syntax=*), 9.1.2.1 (UIDs).
"""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Protocol

import requests
from requests.auth import AuthBase

from cds_service.adapters.egress import same_origin
from cds_service.adapters.multipart import MultipartBroken, PartTooLarge, boundary_of, parts
from cds_service.domain.study import StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    ArchiveFailed,
    ArchiveRefused,
    EhrAnswerInvalid,
    EhrTimedOut,
    HostileInstance,
    StudyIncomplete,
    StudyTooLarge,
)
from cds_service.usecases.ports import Budget

_ACCEPT = 'multipart/related; type="application/dicom"; transfer-syntax=*'
_CHUNK_BYTES = 64 * 1024
_ENVELOPE_BYTES = 1024 * 1024  # boundaries and header fields of a whole answer
_BODY_S = 120.0  # for a whole answer
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_LIMIT = 64  # characters; PS3.5 9.1


class SessionFor(Protocol):
    """Makes a session that reaches this tenant's registered addresses only."""

    def __call__(self, tenant: Tenant, *, max_bytes: int, body_s: float) -> requests.Session:
        """Return it; a body past the caps raises EhrAnswerInvalid or EhrTimedOut."""


class DicomWebArchive:
    """WADO-RS under the tenant's allow-list and token."""

    def __init__(
        self,
        session_for: SessionFor,
        auth_for: Callable[[Tenant], AuthBase | None] = lambda _tenant: None,
        *,
        only_at_study: bool = False,
    ) -> None:
        """`only_at_study`: the credentials are for the study's own address and for no other."""
        self._session_for = session_for
        self._auth_for = auth_for
        self._only_at_study = only_at_study

    def instances(self, tenant: Tenant, study: StudyReference, budget: Budget) -> Iterator[bytes]:
        """Yield each instance of the study once, as stored.

        Raises StudyIncomplete "no-endpoint" or "not-in-archive", StudyTooLarge before the budget
        is passed, HostileInstance for an identifier that is no UID, ArchiveFailed,
        ArchiveRefused, EndpointNotAllowed. Of the budget's series those are passed over that no
        archive has, unless it has none.
        """
        path = f"studies/{_uid(study.study_uid)}"
        paths = [f"{path}/series/{_uid(series)}" for series in budget.series] or [path]
        left, missing = budget, None
        for one in paths:
            try:
                for instance in self._within(tenant, study, one, left):
                    left = replace(
                        left, bytes=left.bytes - len(instance), instances=left.instances - 1
                    )
                    yield instance
            except StudyIncomplete as error:
                missing = error
                if error.code != "not-in-archive":
                    raise
        if missing is not None and left == budget:
            raise missing

    def _within(
        self, tenant: Tenant, study: StudyReference, path: str, budget: Budget
    ) -> Iterator[bytes]:
        """Yield what is at this path; raise StudyTooLarge before the budget is passed."""
        with self._found(tenant, study, path, budget) as content:
            for count, instance in enumerate(content, 1):
                if count > budget.instances:
                    raise _too_large()
                yield instance

    def instance(
        self, tenant: Tenant, study: StudyReference, series_uid: str, sop_uid: str
    ) -> bytes:
        """Return one instance as stored; raises as `instances`."""
        path = (
            f"studies/{_uid(study.study_uid)}/series/{_uid(series_uid)}/instances/{_uid(sop_uid)}"
        )
        with self._found(tenant, study, path, Budget()) as content:
            for instance in content:
                return instance
        raise StudyIncomplete("not-in-archive", "the archive does not have its images")

    @contextmanager
    def _found(
        self, tenant: Tenant, study: StudyReference, path: str, budget: Budget
    ) -> Iterator[Iterator[bytes]]:
        """Ask one archive after the other until one has it."""
        *others, last = self._bases(tenant, study)
        with ExitStack() as stack:
            for base in others:
                try:
                    content = stack.enter_context(self._answer(tenant, f"{base}/{path}", budget))
                    break
                except StudyIncomplete as error:
                    if error.code != "not-in-archive":
                        raise
            else:
                content = stack.enter_context(self._answer(tenant, f"{last}/{path}", budget))
            yield content

    def _bases(self, tenant: Tenant, study: StudyReference) -> list[str]:
        """Return at least one address; whether it is registered, egress decides."""
        own = [study.archive_url] if study.archive_url else []
        bases = own if self._only_at_study else _bases(tenant, own)
        if not bases:
            raise StudyIncomplete("no-endpoint", "the EHR names no archive for it")
        return list(dict.fromkeys(base.rstrip("/") for base in bases))

    @contextmanager
    def _answer(self, tenant: Tenant, url: str, budget: Budget) -> Iterator[Iterator[bytes]]:
        """Call the archive and read its parts, every failure as one of ours."""
        session = self._session_for(
            tenant, max_bytes=budget.bytes + _ENVELOPE_BYTES, body_s=_BODY_S
        )
        headers = {"Accept": _ACCEPT, "Accept-Encoding": "identity"}
        auth = self._auth_for(tenant)
        try:
            with session.get(url, headers=headers, auth=auth, stream=True) as response:
                _check_status(response.status_code)
                yield _content(response, budget)
        except (EhrAnswerInvalid, PartTooLarge) as error:
            raise _too_large() from error
        except (EhrTimedOut, requests.RequestException, MultipartBroken) as error:
            # Their texts hold the address, and with it the study's UID.
            raise ArchiveFailed("The archive did not answer, or not to the end.") from error


class LaunchToken(AuthBase):
    """The access token of one launch on a request (SMART Imaging Access)."""

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign the request."""
        request.headers["Authorization"] = f"Bearer {self._access_token}"
        return request


def _content(response: requests.Response, budget: Budget) -> Iterator[bytes]:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise MultipartBroken("compressed although it was asked not to be")
    content_type = response.headers.get("Content-Type", "")
    chunks = response.iter_content(_CHUNK_BYTES)
    if content_type.split(";")[0].strip().lower() == "application/dicom":
        return _single(chunks, budget.bytes)
    return parts(chunks, boundary_of(content_type), budget.bytes)


def _single(chunks: Iterator[bytes], limit_bytes: int) -> Iterator[bytes]:
    """Read an answer that is one instance without an envelope (PS3.18 8.7.3.4)."""
    held = bytearray()
    for chunk in chunks:
        if len(held) + len(chunk) > limit_bytes:
            raise PartTooLarge("the instance is larger than the limit")
        held += chunk
    yield bytes(held)


def _check_status(status: int) -> None:
    if status in (204, 404, 410):
        raise StudyIncomplete("not-in-archive", "the archive does not have its images")
    if status in (401, 403):
        raise ArchiveRefused(f"The archive does not let us read (HTTP {status}).")
    if status == 206:
        raise StudyIncomplete("partly-in-archive", "the archive has only some of its images")
    if status != 200:
        raise ArchiveFailed(f"The archive answered HTTP {status}.")


def _bases(tenant: Tenant, own: list[str]) -> list[str]:
    """Choose the addresses: the study's own first, but never against the registration.

    An Endpoint often names the archive as the EHR's users reach it; where the administrator
    registered archives at other origins, those are meant.
    """
    registered = [base for base in (tenant.archive_base, *tenant.other_archives) if base]
    if not registered:
        return own
    named = [url for url in own if any(same_origin(url, base) for base in registered)]
    return named + registered


def _uid(text: str) -> str:
    """Let only a UID into an address; anything else could lead elsewhere."""
    if len(text) > _UID_LIMIT or not _UID.fullmatch(text):
        raise HostileInstance("bad-identifier", "its identifier is not a DICOM UID")
    return text


def _too_large() -> StudyTooLarge:
    return StudyTooLarge("too-large", "it is larger than this service reads")
