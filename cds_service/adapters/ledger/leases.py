"""The rules of a lease, as conditions and updates on the job table.

A job is free when it is open and `lease_expires_at` is null. A lease that ran out is noticed
by whoever looks next, in the same transaction; the second time quarantines the job. Each
holder has its own token, so a worker that comes back late changes nothing.

Source: architecture "One job through the house", "A lease with a fencing token".
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cds_service.adapters.ledger.schema import job
from cds_service.domain.job import JobState, JobStep, Lease
from cds_service.errors import LeaseLost

CRASHES = 2  # a job whose lease runs out this often is quarantined
CRASH_ERROR = "WorkerCrashed"

is_open = job.c.state == JobState.OPEN
is_free = sa.and_(is_open, job.c.lease_expires_at.is_(None))

NO_LEASE: dict[str, object] = {"lease_owner": None, "lease_expires_at": None, "rung_at": None}
OVER: dict[str, object] = {**NO_LEASE, "sealed_patient": None}  # the facts go when the work ends


def note_expired(connection: Connection, now: datetime, *only: sa.ColumnElement[bool]) -> None:
    """Take the leases away that ran out, of all jobs or of those where `only` holds."""
    expired = sa.and_(is_open, job.c.lease_expires_at <= now, *only)
    crashed = {"crashes": job.c.crashes + 1, "error": CRASH_ERROR, "updated_at": now}
    connection.execute(
        sa.update(job)
        .where(expired, job.c.crashes + 1 >= CRASHES)
        .values(OVER | crashed | {"state": JobState.QUARANTINED})
    )
    connection.execute(
        sa.update(job).where(expired).values(NO_LEASE | crashed | {"step": JobStep.QUEUED})
    )


def update_held(connection: Connection, lease: Lease, now: datetime, **values: object) -> None:
    """Change the job if this lease still holds it, else raise LeaseLost.

    Called first in a transaction, it also keeps every other worker out until the commit.
    """
    held = sa.and_(
        job.c.id == lease.job.id,
        job.c.token == lease.token,
        is_open,
        job.c.lease_expires_at.is_not(None),
    )
    changed = connection.execute(sa.update(job).where(held).values(updated_at=now, **values))
    if changed.rowcount != 1:
        raise LeaseLost(f"Job {lease.job.id} is no longer held with token {lease.token}.")
