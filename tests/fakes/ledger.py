"""The ledger and the doorbell in memory, held to the same contract tests as the real ones."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from statistics import median

from cds_service.domain.archive_credential import ArchiveCredential
from cds_service.domain.audit import AuditEvent
from cds_service.domain.card import Feedback, Outcome, ShownCard
from cds_service.domain.finding import MOVED, Result
from cds_service.domain.intake import Door
from cds_service.domain.job import Job, JobState, JobStep, Lease, Wait, foresee
from cds_service.domain.line import Backlog, Priority, Waiting, in_turn
from cds_service.domain.publication import Publication
from cds_service.domain.standing import standing_results
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import DoorbellSilent, LeaseLost, NotFound, RegistrationRefused
from cds_service.usecases.ports import Clock
from tests.builders import NOW

RING_AGAIN = timedelta(seconds=30)
PUBLISH_AGAIN = timedelta(minutes=5)
LONG_AGO = datetime(1, 1, 1, tzinfo=UTC)


class FakeClock:
    """A clock that stands still until a test moves it."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


class FakeTenants:
    """Every face of the tenant table."""

    def __init__(self, *tenants: Tenant) -> None:
        self._by_id = {tenant.id: tenant for tenant in tenants}

    def get(self, tenant_id: str) -> Tenant:
        if tenant_id not in self._by_id:
            raise NotFound("There is no such EHR registration.")
        return self._by_id[tenant_id]

    def all(self) -> list[Tenant]:
        return sorted(self._by_id.values(), key=lambda tenant: tenant.name)

    def add(self, tenant: Tenant) -> None:
        if tenant.id in self._by_id:
            raise RegistrationRefused("This EHR is registered already.")
        self._keep(tenant)

    def change(self, tenant: Tenant) -> None:
        self.get(tenant.id)
        self._keep(tenant)

    def _keep(self, tenant: Tenant) -> None:
        for known in self._by_id.values():
            if known.id == tenant.id:
                continue
            for field, word in (("name", "name"), ("fhir_base", "FHIR base")):
                if getattr(known, field) == getattr(tenant, field):
                    raise RegistrationRefused(f"An EHR with this {word} is registered already.")
            if known.hook_issuer == tenant.hook_issuer and not tenant.shares_issuer_with(known):
                raise RegistrationRefused("An EHR with this hook issuer is registered already.")
        self._by_id[tenant.id] = tenant

    def remove(self, tenant_id: str) -> None:
        self.get(tenant_id)
        del self._by_id[tenant_id]

    def set_door(self, tenant_id: str, door: Door, *, is_open: bool) -> None:
        tenant = self.get(tenant_id)
        doors = {*tenant.doors, door} if is_open else {*tenant.doors} - {door}
        self._by_id[tenant_id] = replace(tenant, doors=tuple(one for one in Door if one in doors))

    def set_change_feed(self, tenant_id: str, address: str) -> None:
        after = replace(self.get(tenant_id), change_feed=address)
        self._by_id[tenant_id] = replace(after, archive_credentials=after.credentials_in_use)

    def set_archive_credential(self, tenant_id: str, credential: ArchiveCredential) -> None:
        self.remove_archive_credential(tenant_id, credential.base)
        tenant = self.get(tenant_id)
        credentials = (*tenant.archive_credentials, credential)
        self._by_id[tenant_id] = replace(tenant, archive_credentials=credentials)

    def remove_archive_credential(self, tenant_id: str, base: str) -> bool:
        tenant = self.get(tenant_id)
        others = tuple(one for one in tenant.archive_credentials if one.base != base)
        self._by_id[tenant_id] = replace(tenant, archive_credentials=others)
        return others != tenant.archive_credentials


@dataclass
class _Entry:
    """One job with what only the ledger knows about it."""

    job: Job
    patient: PatientFacts | None
    token: int = 0
    owner: str | None = None
    expires_at: datetime | None = None
    rung_at: datetime | None = None
    started_at: datetime | None = None
    crashes: int = 0
    due_at: datetime = LONG_AGO

    @property
    def is_open(self) -> bool:
        return self.job.state is JobState.OPEN

    def release(self) -> None:
        self.owner = self.expires_at = self.rung_at = None


class FakeJobs:
    """Jobs, DispatchedJobs, JobLine, Leases, OverdueJobs, LostJobs and WaitingJobs."""

    def __init__(self, *, lease_s: int = 20, attempts: int = 3, clock: Clock | None = None) -> None:
        self._lease = timedelta(seconds=lease_s)
        self._attempts = attempts
        self._clock = clock or FakeClock()
        self._entries: dict[str, _Entry] = {}

    @property
    def all(self) -> list[Job]:
        """Return every job, oldest first, for assertions."""
        return [entry.job for entry in self._entries.values()]

    def open(
        self,
        dispatch_key: str,
        study: StudyReference,
        patient: PatientFacts,
        model_id: str,
        *,
        again: bool = False,
        priority: Priority = Priority.ASKED,
    ) -> tuple[Job, bool]:
        now = self._clock()
        due_at = now + priority.patience
        for entry in self._entries.values():
            if entry.job.dispatch_key == dispatch_key:
                may_open = {JobState.FAILED, JobState.DONE} if again else {JobState.FAILED}
                if entry.job.state not in may_open:
                    self.hasten([entry.job.id], priority)
                    return entry.job, False
                if entry.job.state is JobState.DONE:
                    self._set(entry, created_at=now, result_id=None)
                entry.patient, entry.rung_at = patient, now
                entry.due_at = due_at
                self._set(
                    entry,
                    priority=priority,
                    study=study,
                    state=JobState.OPEN,
                    step=JobStep.QUEUED,
                    attempts=0,
                    error=None,
                )
                return entry.job, True
        job = Job(
            id=f"job-{len(self._entries) + 1}",
            dispatch_key=dispatch_key,
            study=study,
            model_id=model_id,
            step=JobStep.QUEUED,
            state=JobState.OPEN,
            attempts=0,
            created_at=now,
            updated_at=now,
            priority=priority,
        )
        self._entries[job.id] = _Entry(job, patient, rung_at=now, due_at=due_at)
        return job, True

    def hasten(self, job_ids: Sequence[str], priority: Priority) -> None:
        for job_id in job_ids:
            entry = self._entries.get(job_id)
            if entry is not None and entry.is_open:
                entry.due_at = min(entry.due_at, self._clock() + priority.patience)
                sooner = min(entry.job.priority, priority)
                entry.job = replace(entry.job, priority=sooner)

    def get(self, job_id: str) -> Job:
        return self._entry(job_id).job

    def newest_for(
        self, tenant_id: str, patient_id: str, study_uids: Sequence[str]
    ) -> dict[str, Job]:
        return {
            job.study.study_uid: job
            for job in sorted(self.all, key=lambda job: job.created_at)
            if (job.study.tenant_id, job.study.patient_id) == (tenant_id, patient_id)
            and job.study.study_uid in study_uids
        }

    def of_models(self, tenant_id: str, patient_id: str, study_uids: Sequence[str]) -> list[Job]:
        newest = {
            (job.study.study_uid, job.model_id): job
            for job in sorted(self.all, key=lambda job: job.created_at)
            if (job.study.tenant_id, job.study.patient_id) == (tenant_id, patient_id)
            and job.study.study_uid in study_uids
        }
        return list(newest.values())

    def analysing(self, tenant_id: str, patient_id: str) -> list[Job]:
        return [
            job
            for job in self.all
            if (job.study.tenant_id, job.study.patient_id) == (tenant_id, patient_id)
            and job.is_analysing
        ]

    def wait_for(self, job: Job) -> Wait:
        this = self._entry(job.id)
        durations = [
            (entry.job.updated_at - entry.started_at).total_seconds()
            for entry in self._entries.values()
            if entry.job.state is JobState.DONE and entry.started_at is not None
        ]
        line = [one.job_id for one in self._line(job.id)]
        in_work = sum(
            entry.job.is_analysing and entry.expires_at is not None
            for entry in self._entries.values()
        )
        before = in_work + line.index(job.id) if job.id in line else 0
        return foresee(
            before=before,
            usual_s=median(durations[-20:]) if durations else None,
            now=self._clock(),
            held_since=this.started_at if this.expires_at is not None else None,
            rung_at=this.rung_at,
            queued_at=this.job.updated_at,
        )

    def take_in_turn(self, rung_id: str, owner: str) -> Lease | None:
        line = self._line(rung_id)
        return self.take(line[0].job_id if line else rung_id, owner)

    def _line(self, with_job: str) -> list[Waiting]:
        now = self._clock()
        served: dict[str, datetime] = {}
        for entry in self._entries.values():
            tenant_id = entry.job.study.tenant_id
            if entry.started_at is not None:
                served[tenant_id] = max(served.get(tenant_id, LONG_AGO), entry.started_at)
        waiting = (
            Waiting(job_id, entry.job.study.tenant_id, entry.job.priority, entry.due_at)
            for job_id, entry in self._entries.items()
            if entry.is_open
            and entry.expires_at is None
            and (job_id == with_job or (entry.rung_at is not None and entry.rung_at <= now))
        )
        return in_turn(waiting, served, now)

    def take(self, job_id: str, owner: str) -> Lease | None:
        entry = self._entry(job_id)
        self._note_expired(entry)
        if not entry.is_open or entry.expires_at is not None:
            return None
        now = self._clock()
        entry.token += 1
        entry.owner, entry.expires_at = owner, now + self._lease
        entry.rung_at, entry.started_at = None, now
        self._set(entry, attempts=entry.job.attempts + 1)
        return self._lease_of(entry)

    def advance(self, lease: Lease, step: JobStep) -> Lease:
        entry = self.held(lease)
        entry.expires_at = self._clock() + self._lease
        self._set(entry, step=step)
        return self._lease_of(entry)

    def finish(self, lease: Lease, result_id: str) -> None:
        entry = self.held(lease)
        self._end(entry, state=JobState.DONE, step=JobStep.DONE, result_id=result_id, error=None)

    def give_up(self, lease: Lease, error: str, *, retry: bool) -> None:
        entry = self.held(lease)
        if retry and lease.job.step is JobStep.PUBLISHING:
            entry.release()
            entry.rung_at = self._clock() + PUBLISH_AGAIN - RING_AGAIN
            self._set(entry, attempts=entry.job.attempts - 1, error=error)
        elif retry and entry.job.attempts < self._attempts:
            entry.release()
            self._set(entry, step=JobStep.QUEUED, error=error)
        else:
            self._end(entry, state=JobState.FAILED, error=error)

    def reclaim(self) -> list[str]:
        now = self._clock()
        ids = []
        for entry in self._entries.values():
            self._note_expired(entry)
            is_free = entry.is_open and entry.expires_at is None
            if is_free and (entry.rung_at is None or entry.rung_at <= now - RING_AGAIN):
                entry.rung_at = now
                ids.append(entry.job.id)
        return ids

    def unrung(self, job_ids: Sequence[str]) -> None:
        for job_id in job_ids:
            self._entry(job_id).rung_at = None

    def waiting(self) -> list[Backlog]:
        waits: dict[tuple[Priority, str], list[timedelta]] = {}
        for job, wait in self._waits():
            waits.setdefault((job.priority, job.study.tenant_id), []).append(wait)
        return [
            Backlog(tenant_id, priority, len(those), max(those))
            for (priority, tenant_id), those in sorted(waits.items())
        ]

    def oldest_wait(self) -> timedelta | None:
        return max((wait for _, wait in self._waits()), default=None)

    def _waits(self) -> Iterator[tuple[Job, timedelta]]:
        now = self._clock()
        for entry in self._entries.values():
            if entry.is_open and (entry.expires_at is None or entry.expires_at <= now):
                yield entry.job, now - entry.job.updated_at

    def lost(self) -> list[Job]:
        newest = sorted(self.all, key=lambda job: job.updated_at, reverse=True)
        return [job for job in newest if job.is_lost]

    def release(self, job_id: str) -> bool:
        entry = self._entries.get(job_id)
        if entry is None or not entry.job.is_lost:
            return False
        entry.crashes = 1
        entry.job = replace(entry.job, state=JobState.FAILED)
        return True

    def take_from_others(self, lease: Lease) -> bool:
        """End what other patients asked about this study before, and forget who asked."""
        self.held(lease)
        study, had = lease.job.study, False
        for entry in self._entries.values():
            theirs = entry.job.study
            is_same = (theirs.tenant_id, theirs.study_uid) == (study.tenant_id, study.study_uid)
            is_older = entry.job.created_at <= lease.job.created_at
            if is_same and is_older and theirs.patient_id not in (study.patient_id, MOVED):
                if entry.is_open:
                    self._end(entry, state=JobState.FAILED, error="StudyMoved")
                moved = replace(theirs, patient_id=MOVED)
                entry.job = replace(entry.job, study=moved, dispatch_key=f"{MOVED}{entry.job.id}")
                had = True
        return had

    def held(self, lease: Lease) -> _Entry:
        """Return the entry that this lease holds; raise LeaseLost."""
        entry = self._entry(lease.job.id)
        if not entry.is_open or entry.expires_at is None or entry.token != lease.token:
            raise LeaseLost(f"Job {lease.job.id} is no longer held with token {lease.token}.")
        return entry

    def _note_expired(self, entry: _Entry) -> None:
        if not entry.is_open or entry.expires_at is None or entry.expires_at > self._clock():
            return
        entry.crashes += 1
        if entry.crashes >= 2:
            self._end(entry, state=JobState.QUARANTINED, error="WorkerCrashed")
        else:
            entry.release()
            self._set(entry, step=JobStep.QUEUED, error="WorkerCrashed")

    def _end(self, entry: _Entry, **changes: object) -> None:
        entry.release()
        entry.patient = None
        self._set(entry, **changes)

    def _set(self, entry: _Entry, **changes: object) -> None:
        entry.job = replace(entry.job, updated_at=self._clock(), **changes)  # type: ignore[arg-type]

    def _entry(self, job_id: str) -> _Entry:
        if job_id not in self._entries:
            raise NotFound("There is no such job.")
        return self._entries[job_id]

    @staticmethod
    def _lease_of(entry: _Entry) -> Lease:
        assert entry.owner is not None and entry.expires_at is not None
        return Lease(entry.job, entry.token, entry.owner, entry.expires_at, entry.patient)


class FakeResults:
    """Results; `jobs` knows whether a lease still holds, None trusts every lease."""

    def __init__(self, jobs: FakeJobs | None = None, *, stored: Iterable[Result] = ()) -> None:
        self._jobs = jobs
        self._by_key = {result.key: result for result in stored}

    @property
    def all(self) -> list[Result]:
        """Return every result, for assertions."""
        return list(self._by_key.values())

    def claim(self, lease: Lease) -> bool:
        study = lease.job.study
        had = self._jobs is not None and self._jobs.take_from_others(lease)
        for key, one in self._by_key.items():
            is_same = (one.tenant_id, one.study_uid) == (study.tenant_id, study.study_uid)
            if is_same and one.patient_id not in (study.patient_id, MOVED):
                self._by_key[key], had = replace(one, patient_id=MOVED), True
        return had

    def save(self, result: Result, lease: Lease) -> Result:
        if self._jobs is not None:
            self._jobs.held(lease)
        stored = self._by_key.get(result.key, result)
        self._by_key[result.key] = replace(
            stored, computed_at=result.computed_at, patient_id=result.patient_id
        )
        return self._by_key[result.key]

    def get(self, result_id: str) -> Result:
        for result in self._by_key.values():
            if result.id == result_id:
                return result
        raise NotFound("There is no such result.")

    def of_models(self, tenant_id: str, patient_id: str, study_uids: Sequence[str]) -> list[Result]:
        newest = {
            (one.study_uid, one.analysis.model.id): one
            for one in self._in_order(tenant_id, patient_id)
            if one.study_uid in study_uids
        }
        return list(newest.values())

    def studies_of(self, tenant_id: str, patient_id: str) -> list[Result]:
        listed = self._in_order(tenant_id, patient_id)
        uids = {one.study_uid for one in listed}
        standing = [
            one
            for uid in uids
            for one in standing_results(result for result in listed if result.study_uid == uid)
        ]
        return sorted(standing, key=lambda one: one.study_started or LONG_AGO, reverse=True)

    def _in_order(self, tenant_id: str, patient_id: str) -> list[Result]:
        return [
            result
            for result in sorted(self._by_key.values(), key=lambda result: result.computed_at)
            if (result.tenant_id, result.patient_id) == (tenant_id, patient_id)
        ]


class FakePublications:
    """Publications; `jobs` as in FakeResults."""

    def __init__(self, jobs: FakeJobs | None = None) -> None:
        self._jobs = jobs
        self._by_result: dict[str, Publication] = {}

    def of(self, result_id: str) -> Publication | None:
        return self._by_result.get(result_id)

    def record(self, publication: Publication, lease: Lease) -> None:
        if self._jobs is not None:
            self._jobs.held(lease)
        self._by_result[publication.result_id] = publication


class FakeCardLog:
    """CardLog."""

    def __init__(self) -> None:
        self.cards: dict[tuple[str, str], ShownCard] = {}
        self.reports: dict[tuple[str, str, Outcome, datetime], Feedback] = {}

    def shown(self, tenant_id: str, *cards: ShownCard) -> None:
        for card in cards:
            self.cards.setdefault((tenant_id, card.card_uuid), card)

    def record(self, feedback: Feedback) -> bool:
        if (feedback.tenant_id, feedback.card_uuid) not in self.cards:
            return False
        key = (feedback.tenant_id, feedback.card_uuid, feedback.outcome, feedback.outcome_at)
        self.reports.setdefault(key, feedback)
        return True


class FakeAuditLog:
    """AuditLog."""

    def __init__(self) -> None:
        self.events: list[AuditEvent] = []

    def record(self, event: AuditEvent) -> None:
        self.events.append(event)


class FakeReplays:
    """Replays."""

    def __init__(self) -> None:
        self._used: set[tuple[str, str]] = set()

    def use_once(self, issuer: str, jti: str, expires_at: datetime) -> bool:
        is_new = (issuer, jti) not in self._used
        self._used.add((issuer, jti))
        return is_new


class FakeDoorbell:
    """Doorbell; `is_silent` plays a queue that is away."""

    def __init__(self, *, is_silent: bool = False) -> None:
        self.is_silent = is_silent
        self.rung: list[str] = []

    def ring(self, job_id: str) -> None:
        if self.is_silent:
            raise DoorbellSilent("The queue is away.")
        self.rung.append(job_id)
