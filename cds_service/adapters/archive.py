"""Fetch instances from a DICOMweb archive, in the form that the site wants, under a budget.

Source: DICOM PS3.18 10.4 (Retrieve Transaction), 9.1.2.1 (UIDs).
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Protocol

import requests

from cds_service.adapters.archive_answer import (
    CutOff,
    check_status,
    content_of,
    not_there,
    uids_in,
)
from cds_service.adapters.archive_auth import AuthFor, unsigned
from cds_service.adapters.archive_json import ArchiveJson, Json, value_of
from cds_service.adapters.asked_syntax import Unable, answer_in
from cds_service.adapters.egress import same_origin
from cds_service.adapters.inbox_files import HEAD_BYTES
from cds_service.adapters.inbox_header import is_uid
from cds_service.adapters.multipart import MultipartBroken, PartTooLarge
from cds_service.adapters.series_list import listed_series
from cds_service.adapters.side_by_side import (
    Allowance,
    Answer,
    side_by_side,
    too_large,
)
from cds_service.domain.study import SeriesReference, StudyReference, stated_of
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    ArchiveFailed,
    EhrAnswerInvalid,
    EhrTimedOut,
    HostileInstance,
    StudyIncomplete,
    UpstreamFailed,
)
from cds_service.usecases.ports import Budget

_BODY_S = 120.0  # for a whole answer
TRIES = 3  # that may fail, of the instances that are asked for alone
SERIES_UID, SOP_UID = "0020000E", "00080018"


class SessionFor(Protocol):
    """Makes a session that reaches this tenant's registered addresses only."""

    def __call__(self, tenant: Tenant, *, max_bytes: int, body_s: float) -> requests.Session:
        """Return it; a body past the caps raises EhrAnswerInvalid or EhrTimedOut."""


class DicomWebArchive:
    """WADO-RS under the tenant's allow-list and credentials."""

    def __init__(
        self,
        session_for: SessionFor,
        auth_for: AuthFor = unsigned,
        *,
        only_at_study: bool = False,
        unable: Unable | None = None,
    ) -> None:
        """Two choices.

        only_at_study  the credentials are for the study's own address and for no other
        unable         remembers which archives cannot convert; None: each call finds out
        """
        self._session_for = session_for
        self._auth_for = auth_for
        self._only_at_study, self._unable = only_at_study, unable

    def instances(self, tenant: Tenant, study: StudyReference, budget: Budget) -> Iterator[bytes]:
        """Yield each instance of the study once, in the form that the site wants or as stored.

        Raises StudyIncomplete "no-endpoint" or "not-in-archive", StudyTooLarge before the budget
        is passed, HostileInstance for an identifier that is no UID, ArchiveFailed,
        ArchiveRefused, EndpointNotAllowed. Of the budget's series those are passed over that no
        archive has, unless it has none. An archive that fails is passed over for one that has as
        many instances as the EHR states.
        """
        path = f"studies/{_uid(study.study_uid)}"
        allowance = Allowance(budget, stated_of(study, budget.series))
        fetched = partial(self._insisted, tenant, study, allowance=allowance)
        if len(budget.series) < 2:
            yield from fetched(path + "".join(f"/series/{_uid(one)}" for one in budget.series))
            allowance.require_whole()
            return
        missing: list[StudyIncomplete] = []
        paths = [f"{path}/series/{_uid(one)}" for one in budget.series]
        fetches = [partial(_unless_missing, partial(fetched, one), missing) for one in paths]
        yield from side_by_side(fetches, allowance)
        if len(missing) == len(paths):
            raise missing[0]
        allowance.require_whole()

    def _insisted(
        self, tenant: Tenant, study: StudyReference, path: str, allowance: Allowance
    ) -> Iterator[bytes]:
        """Yield what is at this path; when it is cut off, the rest of it one by one."""
        heads: list[bytes] = []
        try:
            for instance in self._within(tenant, study, path, allowance):
                heads.append(instance[:HEAD_BYTES])
                yield instance
        except CutOff as error:
            came = uids_in(heads, error)
            listed = self._listed(tenant, study, path, allowance)
            if not listed or not came <= set(listed):
                raise
            yield from self._one_by_one(
                tenant, study, [one for one in listed if one not in came], allowance
            )

    def _one_by_one(
        self,
        tenant: Tenant,
        study: StudyReference,
        wanted: list[tuple[str, str]],
        allowance: Allowance,
    ) -> Iterator[bytes]:
        """Yield each of these instances; of all together a few tries may fail."""
        failed = 0
        for series_uid, sop_uid in wanted:
            path = _instance_path(study, series_uid, sop_uid)
            while True:
                try:
                    one = next(self._within(tenant, study, path, allowance))
                    break
                except StopIteration:
                    raise not_there() from None
                except ArchiveFailed:
                    failed += 1
                    if failed >= TRIES:
                        raise
            yield one

    def _listed(
        self, tenant: Tenant, study: StudyReference, path: str, allowance: Allowance
    ) -> list[tuple[str, str]]:
        """Return series and SOP UID of what the first archive that has it lists at this path."""
        archive = ArchiveJson(self._session_for, self._auth_for)
        found: dict[tuple[str, str], None] = {}
        series = path.partition("/series/")[2]  # which a search within one need not repeat
        for base in self._bases(tenant, study):
            if base in allowance.failed:
                continue
            while True:
                at: dict[str, str | int] = {"offset": len(found), "includefield": SERIES_UID}
                rows = archive.objects(tenant, f"{base}/{path}/instances", at)
                news = {
                    (_said(row, SERIES_UID) or series, _said(row, SOP_UID)): None for row in rows
                }
                if news.keys() <= found.keys():
                    break
                found |= news
            if found:
                break
        return list(found)

    def _within(
        self, tenant: Tenant, study: StudyReference, path: str, allowance: Allowance
    ) -> Iterator[bytes]:
        """Yield what is at this path; raise CutOff when it ends too early."""
        with (
            allowance.answer() as answer,
            self._found(tenant, study, path, answer) as content,
        ):
            for instance in content:
                yield answer.keep(instance)

    def instance(
        self, tenant: Tenant, study: StudyReference, series_uid: str, sop_uid: str
    ) -> bytes:
        """Return one instance in that form; raises as `instances`."""
        path = _instance_path(study, series_uid, sop_uid)
        for instance in self._within(tenant, study, path, Allowance(Budget(), 1)):
            return instance
        raise not_there()

    def series(self, tenant: Tenant, study: StudyReference) -> tuple[SeriesReference, ...]:
        """Return what the first archive that lists the study's series says of them.

        Raises as `ArchiveJson.get`, StudyIncomplete "no-endpoint", and HostileInstance for an
        identifier that is no UID.
        """
        archive = ArchiveJson(self._session_for, self._auth_for)
        path = f"studies/{_uid(study.study_uid)}/series"
        for base in self._bases(tenant, study):
            if listed := listed_series(archive, tenant, f"{base}/{path}"):
                return listed
        return ()

    @contextmanager
    def _found(
        self, tenant: Tenant, study: StudyReference, path: str, answer: Answer
    ) -> Iterator[Iterator[bytes]]:
        """Ask one archive after the other until one has it; those that failed are asked last."""
        allowance = answer.allowance
        bases = sorted(self._bases(tenant, study), key=allowance.failed.__contains__)
        with ExitStack() as stack:
            for base in bases:
                try:
                    content = stack.enter_context(self._answer(tenant, f"{base}/{path}", answer))
                    break
                except StudyIncomplete as error:
                    if error.code != not_there().code:
                        raise
                except UpstreamFailed as error:
                    allowance.pass_over(base, error)
            else:
                raise next(iter(allowance.failed.values()), not_there())
            yield content

    def _bases(self, tenant: Tenant, study: StudyReference) -> list[str]:
        """Return at least one address; whether it is registered, egress decides."""
        own = [study.archive_url] if study.archive_url else []
        bases = own if self._only_at_study else _bases(tenant, own)
        if not bases:
            raise StudyIncomplete("no-endpoint", "the EHR names no archive for it")
        return list(dict.fromkeys(base.rstrip("/") for base in bases))

    @contextmanager
    def _answer(self, tenant: Tenant, url: str, answer: Answer) -> Iterator[Iterator[bytes]]:
        """Call the archive and read its parts, every failure as one of ours."""
        session = self._session_for(tenant, max_bytes=answer.body_bytes, body_s=_BODY_S)
        auth = self._auth_for(tenant, url)

        def ask(accept: str) -> requests.Response:
            headers = {"Accept": accept, "Accept-Encoding": "identity"}
            return session.get(url, headers=headers, auth=auth, stream=True)

        failure = ArchiveFailed
        try:
            with answer_in(tenant.images, url, ask, self._unable) as response:
                check_status(response.status_code)
                failure = CutOff
                yield content_of(response, answer)
        except (EhrAnswerInvalid, PartTooLarge) as error:
            raise too_large() from error
        except (EhrTimedOut, requests.RequestException, MultipartBroken) as error:
            # Their texts hold the address, and with it the study's UID.
            raise failure("The archive did not answer, or not to the end.") from error


def _bases(tenant: Tenant, own: list[str]) -> list[str]:
    """Choose the addresses: the study's own first, but never against the registration.

    An Endpoint often names the archive as the EHR's users reach it; where the administrator
    registered archives at other origins, those are meant.
    """
    registered = list(tenant.web_archives)
    if not registered:
        return own
    named = [url for url in own if any(same_origin(url, base) for base in registered)]
    return named + registered


def _uid(text: str) -> str:
    """Let only a UID into an address; anything else could lead elsewhere."""
    if not is_uid(text):
        raise HostileInstance("bad-identifier", "its identifier is not a DICOM UID")
    return text


def _instance_path(study: StudyReference, series_uid: str, sop_uid: str) -> str:
    return f"studies/{_uid(study.study_uid)}/series/{_uid(series_uid)}/instances/{_uid(sop_uid)}"


def _said(row: Json, tag: str) -> str:
    return str(value_of(row, tag) or "")


def _unless_missing(
    fetch: Callable[[], Iterator[bytes]], missing: list[StudyIncomplete]
) -> Iterator[bytes]:
    """Yield what is fetched; note where no archive has any of it."""
    try:
        yield from fetch()
    except StudyIncomplete as error:
        if error.code != "not-in-archive":
            raise
        missing.append(error)
