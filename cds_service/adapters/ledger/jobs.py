"""Jobs, their leases, and the sweep, in the ledger.

Source: architecture "One job through the house"; ports Jobs, DispatchedJobs, JobLine,
Leases, OverdueJobs.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from cds_service.adapters.ledger.connection import (
    appending,
    insert_if_new,
    ledger_clock,
    reading,
    writing,
)
from cds_service.adapters.ledger.encoding import (
    patient_bytes,
    patient_from,
    study_document,
    study_from,
)
from cds_service.adapters.ledger.leases import (
    NO_LEASE,
    OVER,
    is_free,
    is_open,
    note_expired,
    update_held,
)
from cds_service.adapters.ledger.line import first_in_line, place_in_line
from cds_service.adapters.ledger.schema import job
from cds_service.adapters.vault import Vault
from cds_service.domain.job import Job, JobState, JobStep, Lease, Wait, foresee
from cds_service.domain.line import Priority
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.errors import LedgerUnavailable, NotFound, SightlineError
from cds_service.usecases.ports import Clock

RING_AGAIN = timedelta(seconds=30)  # a ring was heard, but every worker is busy, or died
PUBLISH_AGAIN = timedelta(minutes=5)  # a write-back to an EHR that was away
SWEEP_LIMIT = 500  # rings per sweep; the rest waits for the next one
RECENT = 20  # done jobs whose median predicts the next
PURPOSE = "job-patient"  # what the vault seals


class SqlJobs:
    """The job table: front doors open jobs, workers lease them, supervisors sweep them.

    lease_s   how long a lease lasts unless `advance` renews it
    attempts  how often `give_up(retry=True)` may send a job back
    clock     for tests; None is the database's clock
    """

    def __init__(
        self,
        engine: Engine,
        vault: Vault,
        *,
        lease_s: int = 20,
        attempts: int = 3,
        clock: Clock | None = None,
    ) -> None:
        self._engine = engine
        self._vault = vault
        self._lease = timedelta(seconds=lease_s)
        self._attempts = attempts
        self._now = ledger_clock(clock)

    # --- Jobs ---

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
        """Return the job of this key, and whether this call made it or opened it again."""
        sealed = self._vault.seal(PURPOSE, study.tenant_id, patient_bytes(patient))
        with writing(self._engine) as connection:
            now = self._now(connection)
            fresh = _queued(study, sealed, priority, now)
            made = insert_if_new(
                connection,
                job,
                id=uuid4().hex,
                dispatch_key=dispatch_key,
                tenant_id=study.tenant_id,
                patient_id=study.patient_id,
                study_uid=study.study_uid,
                model_id=model_id,
                crashes=0,
                token=0,
                created_at=now,
                **fresh,
            )
            of_key = job.c.dispatch_key == dispatch_key
            if not made:
                failed = sa.and_(of_key, job.c.state == JobState.FAILED)
                made = connection.execute(sa.update(job).where(failed).values(fresh)).rowcount == 1
            if not made and again:
                done = sa.and_(of_key, job.c.state == JobState.DONE)
                anew = {**fresh, "result_id": None, "created_at": now}  # the study's newest job
                made = connection.execute(sa.update(job).where(done).values(anew)).rowcount == 1
            if not made:
                _hasten(connection, of_key, priority, now)
            return job_from(connection.execute(sa.select(job).where(of_key)).one()), made

    def hasten(self, job_ids: Sequence[str], priority: Priority) -> None:
        """Let those that are open count as asked for now with this priority, if that is sooner."""
        with appending(self._engine) as connection:
            _hasten(connection, job.c.id.in_(job_ids), priority, self._now(connection))

    def get(self, job_id: str) -> Job:
        """Return the job; raise NotFound."""
        with reading(self._engine) as connection:
            return job_from(job_row(connection, job_id))

    def newest_for(
        self, tenant_id: str, patient_id: str, study_uids: Sequence[str]
    ) -> dict[str, Job]:
        """Return the newest job of each of these studies; one indexed read."""
        with reading(self._engine) as connection:
            rows = connection.execute(_of_studies(tenant_id, patient_id, study_uids))
            return {row.study_uid: job_from(row) for row in rows}

    def of_models(self, tenant_id: str, patient_id: str, study_uids: Sequence[str]) -> list[Job]:
        """Return the newest job of each of these studies for each model; one indexed read."""
        with reading(self._engine) as connection:
            rows = connection.execute(_of_studies(tenant_id, patient_id, study_uids))
            return list({(row.study_uid, row.model_id): job_from(row) for row in rows}.values())

    def analysing(self, tenant_id: str, patient_id: str) -> list[Job]:
        """Return this patient's jobs whose result is still to come; one indexed read."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                sa.select(job).where(
                    job.c.tenant_id == tenant_id,
                    job.c.patient_id == patient_id,
                    is_open,
                    job.c.step != JobStep.PUBLISHING,
                )
            )
            return [job_from(row) for row in rows]

    def wait_for(self, wanted: Job) -> Wait:
        """Tell its place in the line, and an estimate from the median of recent jobs."""
        with reading(self._engine) as connection:
            now = self._now(connection)
            row = job_row(connection, wanted.id)
            recent = connection.execute(
                sa.select(job.c.started_at, job.c.updated_at)
                .where(job.c.state == JobState.DONE)
                .order_by(job.c.created_at.desc())
                .limit(RECENT)
            )
            durations = [(row.updated_at - row.started_at).total_seconds() for row in recent]
            before = _before(connection, now, wanted.id)
        return foresee(
            before=before,
            usual_s=median(durations) if durations else None,
            now=now,
            held_since=row.started_at if row.lease_expires_at is not None else None,
            rung_at=row.rung_at,
            queued_at=row.updated_at,
        )

    # --- Leases ---

    def take_in_turn(self, rung_id: str, owner: str) -> Lease | None:
        """Take the lease of the job whose turn it is; None when none waits.

        rung_id   the job that the ring named, which stands in the line too
        """
        while True:
            with reading(self._engine) as connection:
                first = first_in_line(connection, self._now(connection), with_job=rung_id)
            try:
                lease = self.take(first or rung_id, owner)
            except LedgerUnavailable:
                raise
            except SightlineError:  # sealed with another key: it must not hold up the others
                if first is None or first == rung_id:
                    raise
                return self.take(rung_id, owner)
            # Another worker may have been faster; then somebody else is first in the line.
            if lease is not None or first is None:
                return lease

    def take(self, job_id: str, owner: str) -> Lease | None:
        """Take the lease and raise the token by one; None when done, failed or leased."""
        with writing(self._engine) as connection:
            now = self._now(connection)
            this = job.c.id == job_id
            note_expired(connection, now, this)
            taken = connection.execute(
                sa.update(job)
                .where(this, is_free)
                .values(
                    token=job.c.token + 1,
                    attempts=job.c.attempts + 1,
                    lease_owner=owner,
                    lease_expires_at=now + self._lease,
                    rung_at=None,
                    started_at=now,
                    updated_at=now,
                )
            )
            return self._lease_of(job_row(connection, job_id)) if taken.rowcount == 1 else None

    def advance(self, lease: Lease, step: JobStep) -> Lease:
        """Renew the lease and note the step; raise LeaseLost when it is no longer held."""
        with writing(self._engine) as connection:
            now = self._now(connection)
            update_held(connection, lease, now, step=step, lease_expires_at=now + self._lease)
            return self._lease_of(job_row(connection, lease.job.id))

    def finish(self, lease: Lease, result_id: str) -> None:
        """Mark the job done and forget the patient's facts; raise LeaseLost."""
        done = OVER | {
            "state": JobState.DONE,
            "step": JobStep.DONE,
            "result_id": result_id,
            "error": None,
        }
        with writing(self._engine) as connection:
            update_held(connection, lease, self._now(connection), **done)

    def give_up(self, lease: Lease, error: str, *, retry: bool) -> None:
        """Send the job back when `retry` and attempts are left, else fail it; LeaseLost.

        error   a class name such as "ArchiveFailed", never a text
        """
        publishing = lease.job.step is JobStep.PUBLISHING
        with writing(self._engine) as connection:
            now = self._now(connection)
            left: dict[str, object] = OVER | {"state": JobState.FAILED}
            if retry and publishing:
                left = NO_LEASE | {
                    "attempts": lease.job.attempts - 1,
                    "rung_at": now + PUBLISH_AGAIN - RING_AGAIN,
                }
            elif retry and lease.job.attempts < self._attempts:
                left = NO_LEASE | {"step": JobStep.QUEUED}
            update_held(connection, lease, now, error=error, **left)

    # --- OverdueJobs ---

    def reclaim(self) -> list[str]:
        """Return ids to ring; a job is returned at most once in 30 s, to one supervisor."""
        sweep = uuid4().hex
        with writing(self._engine) as connection:
            now = self._now(connection)
            note_expired(connection, now)
            silent = sa.or_(job.c.rung_at.is_(None), job.c.rung_at <= now - RING_AGAIN)
            oldest = (
                sa.select(job.c.id)
                .where(is_free, silent)
                .order_by(job.c.created_at)
                .limit(SWEEP_LIMIT)
            )
            connection.execute(
                sa.update(job)
                .where(job.c.id.in_(oldest), is_free, silent)
                .values(rung_at=now, swept_by=sweep)
            )
            swept = sa.select(job.c.id).where(job.c.swept_by == sweep).order_by(job.c.created_at)
            return list(connection.execute(swept).scalars())

    # --- Jobs and OverdueJobs ---

    def unrung(self, job_ids: Sequence[str]) -> None:
        """Note that no worker heard of these jobs: the next sweep returns them."""
        with writing(self._engine) as connection:
            connection.execute(
                sa.update(job).where(job.c.id.in_(job_ids), is_free).values(rung_at=None)
            )

    def _lease_of(self, row: Row[tuple[object, ...]]) -> Lease:
        sealed = self._vault.open(PURPOSE, row.tenant_id, row.sealed_patient)
        expires_at: datetime = row.lease_expires_at
        return Lease(job_from(row), row.token, row.lease_owner, expires_at, patient_from(sealed))


def _queued(
    study: StudyReference, sealed_patient: bytes, priority: Priority, now: datetime
) -> dict[str, object]:
    """Return what a job begins with, when it is made and whenever it is opened again."""
    return {
        "study": study_document(study),
        "sealed_patient": sealed_patient,
        "state": JobState.OPEN,
        "step": JobStep.QUEUED,
        "attempts": 0,
        "error": None,
        "rung_at": now,
        "updated_at": now,
        "priority": priority,
        "due_at": now + priority.patience,
    }


def _hasten(
    connection: Connection, which: sa.ColumnElement[bool], priority: Priority, now: datetime
) -> None:
    rank = sa.literal(int(priority), job.c.priority.type)
    due_at = sa.literal(now + priority.patience, job.c.due_at.type)
    is_slower, is_later = job.c.priority > rank, job.c.due_at > due_at
    connection.execute(
        sa.update(job)
        .where(which, is_open, sa.or_(is_slower, is_later))
        .values(
            priority=sa.case((is_slower, rank), else_=job.c.priority),
            due_at=sa.case((is_later, due_at), else_=job.c.due_at),
        )
    )


def _of_studies(
    tenant_id: str, patient_id: str, study_uids: Sequence[str]
) -> sa.Select[tuple[object, ...]]:
    return (
        sa.select(job)
        .where(
            job.c.tenant_id == tenant_id,
            job.c.patient_id == patient_id,
            job.c.study_uid.in_(study_uids),
        )
        .order_by(job.c.study_uid, job.c.created_at)  # as the index has them
    )


def _before(connection: Connection, now: datetime, job_id: str) -> int:
    """Count the jobs in work, and those in the line before this one."""
    in_line = place_in_line(connection, now, job_id)
    if in_line is None:
        return 0
    in_work = connection.execute(
        sa.select(sa.func.count())
        .select_from(job)
        .where(is_open, job.c.lease_expires_at.is_not(None), job.c.step != JobStep.PUBLISHING)
    )
    return int(in_work.scalar_one()) + in_line


def job_row(connection: Connection, job_id: str) -> Row[tuple[object, ...]]:
    """Return the row of a job; raise NotFound."""
    row = connection.execute(sa.select(job).where(job.c.id == job_id)).one_or_none()
    if row is None:
        raise NotFound("There is no such job.")
    return row


def job_from(row: Row[tuple[object, ...]]) -> Job:
    """Read a job."""
    return Job(
        id=row.id,
        dispatch_key=row.dispatch_key,
        study=study_from(row.study),
        model_id=row.model_id,
        step=JobStep(row.step),
        state=JobState(row.state),
        attempts=row.attempts,
        created_at=row.created_at,
        updated_at=row.updated_at,
        error=row.error,
        result_id=row.result_id,
        priority=Priority(row.priority),
    )
