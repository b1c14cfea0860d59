"""Gather what a hook needs: what the client sent, and reads for what it did not send.

Order for each key: prefetch, the hook's own token, our Backend Services token. The caller goes on
to the ledger when none of them has it.

Source: CDS Hooks 2.0 "Prefetch Template", "FHIR Resource Access"; threat T7 (only the registered
server is ever called).
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import TypeVar

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.hook import FhirAuthorization, HookCall, PrefetchState
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    EhrRefused,
    EhrTimedOut,
    PrefetchUnavailable,
    ScopeDenied,
    UpstreamFailed,
)
from cds_service.fhir.bundle import joined, next_link
from cds_service.fhir.imaging_study import patient_in, studies_in
from cds_service.usecases.ports import AuditLog, Clock, EhrRecord, Resource

log = logging.getLogger(__name__)

PATIENT, STUDIES = "patient", "studies"
NEWEST = 20  # studies that a hook looks at, and so the most that it asks for
PREFETCH: Mapping[str, str] = {
    PATIENT: "Patient/{{context.patientId}}",
    STUDIES: f"ImagingStudy?patient={{{{context.patientId}}}}&_sort=-started&_count={NEWEST}",
}

# What is read instead where the EHR has no ImagingStudy; no client is asked to send it.
REQUESTS, REPORTS = "requests", "reports"
_PATHS: Mapping[str, str] = {
    **PREFETCH,
    REQUESTS: "ServiceRequest?patient={{context.patientId}}&_sort=-authored&_count=50",
    REPORTS: "DiagnosticReport?patient={{context.patientId}}&_sort=-date&_count=50",
}

Fetch = Callable[[FhirAuthorization | None], Resource]
_Asked = TypeVar("_Asked")
_Found = TypeVar("_Found")


def path_of(key: str, patient_id: str) -> str:
    """Return what is read of an EHR for this key."""
    return _PATHS[key].replace("{{context.patientId}}", patient_id)


def may_list_studies(call: HookCall, tenant: Tenant) -> bool:
    """Tell whether the client sent the list of studies, or its server may have one."""
    is_sent = call.prefetched(STUDIES).state is PrefetchState.PRESENT
    return is_sent or tenant.has_imaging_studies


@dataclass(frozen=True, slots=True)
class Gatherer:
    """What gathering needs."""

    record: EhrRecord
    audit: AuditLog
    lane: Callable[[str], Executor]  # of an EHR, bounded: a hook can leave a hanging read there
    clock: Clock
    timer: Callable[[], float] = time.monotonic

    def start(
        self, call: HookCall, tenant: Tenant, deadline: float, keys: Iterable[str] = PREFETCH
    ) -> "Gathering":
        """Begin to read what is missing of `keys`, all at once; `deadline` is on the timer."""
        return Gathering(self, call, tenant, deadline, keys)


class Gathering:
    """One hook's data, some of it still on its way."""

    def __init__(
        self,
        by: Gatherer,
        call: HookCall,
        tenant: Tenant,
        deadline: float,
        keys: Iterable[str],
    ) -> None:
        self._by, self._call, self._tenant, self._deadline = by, call, tenant, deadline
        self._lane = by.lane(tenant.id)
        self._partial: dict[str, Resource] = {}  # what there is of a key, should its rest fail
        self._reading = {key: self._source(key) for key in keys}

    def document(self, key: str) -> Resource | None:
        """Return the key's resource, or None when the client looked and found nothing.

        Waits until the deadline. A key of which the client sent a part (its first page, or what
        it found before an error) is that part when the rest cannot be had. Raises
        PrefetchUnavailable when the key has no source at all, UpstreamFailed when it has one that
        failed or was late.
        """
        reading = self._reading[key]
        if not isinstance(reading, Future):
            return reading
        try:
            return self._wait(reading)
        except (PrefetchUnavailable, UpstreamFailed) as error:
            if key not in self._partial:
                raise
            log.warning(
                "%s in part: tenant=%s error=%s", key, self._tenant.id, type(error).__name__
            )
            return self._partial[key]

    def further(self, path: str) -> Resource:
        """Read one resource more, such as "Endpoint/1"; waits and raises as `document`."""
        return self._wait(self._lane.submit(self._read, path, self._lent_token()))

    def of_each(self, find: Callable[[_Asked], _Found], asked: Sequence[_Asked]) -> list[_Found]:
        """Find something for each, all at once; waits as `document`, raises that or as `find`."""

        def in_time(one: _Asked) -> _Found:
            self._left_s()
            return find(one)

        return [self._wait(one) for one in [self._lane.submit(in_time, one) for one in asked]]

    def _wait(self, reading: Future[_Found]) -> _Found:
        try:
            return reading.result(timeout=max(0.0, self._deadline - self._by.timer()))
        except TimeoutError as error:
            reading.cancel()
            raise EhrTimedOut("The EHR gave no answer in time.") from error

    def _source(self, key: str) -> Resource | Future[Resource] | None:
        sent = self._call.prefetched(key)
        if sent.resource is not None and self._fits(key, sent.resource):
            following = None if self._has_newest(sent.resource) else next_link(sent.resource)
            if sent.state is PrefetchState.PRESENT and following is None:
                return sent.resource
            self._partial[key] = sent.resource
            if sent.state is PrefetchState.PRESENT and following is not None:
                return self._lane.submit(self._rest, key, sent.resource, following)
        if sent.state is PrefetchState.NULL and key == STUDIES:
            return None
        # What the client could not read with its own rights is not tried again with its token.
        lent = None if sent.state is PrefetchState.FAILED else self._lent_token()
        return self._lane.submit(self._read, path_of(key, self._call.patient_id), lent)

    def _has_newest(self, page: Resource) -> bool:
        """Tell whether a page holds, in order, as many studies as are looked at.

        Then what is known of them does not wait for the pages after it.
        """
        studies = studies_in(page, self._tenant.id, self._call.patient_id)
        started = [study.started for study in studies if study.started]
        is_full = len(started) == len(studies) >= NEWEST
        return is_full and started == sorted(started, reverse=True)

    def _rest(self, key: str, first: Resource, following: str) -> Resource:
        """Read the pages after the one that the client sent."""
        kind = _kind(PREFETCH[key])

        def fetch(authorization: FhirAuthorization | None) -> Resource:
            return self._by.record.read_on(
                self._tenant,
                kind,
                following,
                authorization=authorization,
                timeout_s=self._left_s(),
            )

        return joined(first, self._fetched(kind, fetch, self._lent_token()))

    def _fits(self, key: str, resource: Resource) -> bool:
        """Tell whether a prefetched resource is what the template asks for."""
        if key == PATIENT:
            return patient_in(resource, self._call.patient_id) is not None
        return resource.get("resourceType") in ("Bundle", "ImagingStudy")

    def _lent_token(self) -> FhirAuthorization | None:
        """Return the hook's token if it is for this registered server and this patient."""
        lent = self._call.authorization
        is_registered = (self._call.fhir_server or "").rstrip("/") == self._tenant.fhir_base
        if lent is None or not is_registered or lent.patient not in {None, self._call.patient_id}:
            return None
        return lent

    def _read(self, path: str, lent: FhirAuthorization | None) -> Resource:
        def fetch(authorization: FhirAuthorization | None) -> Resource:
            return self._by.record.read(
                self._tenant, path, authorization=authorization, timeout_s=self._left_s()
            )

        return self._fetched(_kind(path), fetch, lent)

    def _fetched(self, kind: str, fetch: Fetch, lent: FhirAuthorization | None) -> Resource:
        """Fetch with the hook's token, then with our own; say which key is missing if none may."""
        if lent is not None:
            try:
                return fetch(lent)
            except (ScopeDenied, EhrRefused):
                log.info("hook token does not reach %s: tenant=%s", kind, self._tenant.id)
        if not self._tenant.backend_services:
            raise _unavailable(kind)
        try:
            found = fetch(None)
        except ScopeDenied as error:
            raise _unavailable(kind) from error
        except EhrRefused as error:
            if self._tenant.client_id is not None:
                raise
            # We are no client there, and the server is not an open one.
            raise _unavailable(kind) from error
        self._note_own_read(kind)
        return found

    def _note_own_read(self, kind: str) -> None:
        self._by.audit.record(
            AuditEvent(
                action=AuditAction.EHR_READ,
                at=self._by.clock(),
                tenant_id=self._tenant.id,
                agent="sightline",
                outcome="success",
                patient_id=self._call.patient_id,
                detail=kind,
            )
        )

    def _left_s(self) -> float:
        left_s = self._deadline - self._by.timer()
        if left_s <= 0:
            raise EhrTimedOut("The EHR gave no answer in time.")
        return left_s


def _kind(path: str) -> str:
    return path.partition("?")[0].partition("/")[0]


def _unavailable(kind: str) -> PrefetchUnavailable:
    key = next((key for key, path in PREFETCH.items() if path.startswith(kind)), kind)
    return PrefetchUnavailable(
        f"The prefetch key '{key}' is missing and cannot be read: send it, or a "
        "fhirAuthorization whose scope allows it, or register Sightline for Backend Services."
    )
