"""The line of waiting jobs in SQL: the order of `domain/line.py`, however long the line is.

A job waits in it when nobody holds it and a worker has been told of it; a job that was sent back,
or whose ring failed, waits for the sweep first. Whoever is next is one of the heads: the job that
is due first of each EHR and priority. A place is counted, not read off the sorted line.

Source: `domain/line.py`; ports Leases, JobLine. Recursive queries: SQLite 3.8.3, PostgreSQL 8.4.
"""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cds_service.adapters.ledger.schema import job
from cds_service.domain.line import NEVER, Priority, Waiting, in_turn


def first_in_line(connection: Connection, now: datetime, *, with_job: str) -> str | None:
    """Return the id of the job whose turn it is; None when none waits.

    with_job   stands in the line if it is free, whether or not a worker has been told of it
    """
    ids = connection.execute(heads_of_line(now, with_job=with_job)).scalars().all()
    heads = connection.execute(
        sa.select(job.c.id, job.c.tenant_id, job.c.priority, job.c.due_at).where(job.c.id.in_(ids))
    ).all()
    line = [Waiting(row.id, row.tenant_id, Priority(row.priority), row.due_at) for row in heads]
    tenants = {one.tenant_id for one in line} if len(line) > 1 else set()
    served = {tenant_id: _served(connection, tenant_id) for tenant_id in tenants}
    return next((one.job_id for one in in_turn(line, served, now)), None)


def place_in_line(connection: Connection, now: datetime, job_id: str) -> int | None:
    """Return how many of the line come before this job; None when somebody holds it or it is over.

    It stands in the line whether or not a worker has been told of it.
    """
    rank = _rank(now)
    asked = sa.select(job.c.tenant_id, rank.label("rank"), job.c.due_at, job.c.id)
    own = connection.execute(asked.where(job.c.id == job_id, _waits(job))).one_or_none()
    if own is None:
        return None
    in_line = sa.and_(_waits(job), sa.or_(job.c.rung_at <= now, job.c.id == job_id))
    is_equal = rank == own.rank
    is_earlier = sa.or_(
        job.c.due_at < own.due_at, sa.and_(job.c.due_at == own.due_at, job.c.id < own.id)
    )
    counts = connection.execute(
        sa.select(
            job.c.tenant_id,
            _number(rank < own.rank).label("sooner"),
            _number(is_equal).label("equal"),
            _number(sa.and_(is_equal, is_earlier)).label("earlier"),
        )
        .where(in_line)
        .group_by(job.c.tenant_id)
    ).all()
    [nth] = [row.earlier for row in counts if row.tenant_id == own.tenant_id]
    before = int(nth + sum(row.sooner for row in counts))
    own_turn = _Turn(_served(connection, own.tenant_id), own.due_at, own.id)
    for row in counts:
        if row.tenant_id != own.tenant_id:
            before += min(row.equal, nth)
            if row.equal > nth:
                group = sa.and_(in_line, job.c.tenant_id == row.tenant_id, is_equal)
                before += _nth_turn(connection, row.tenant_id, group, nth) < own_turn
    return before


@dataclass(frozen=True, slots=True, order=True)
class _Turn:
    """What decides between the nth jobs of two EHRs, the smaller first."""

    served_at: datetime
    due_at: datetime
    job_id: str


def _nth_turn(
    connection: Connection, tenant_id: str, group: sa.ColumnElement[bool], nth: int
) -> _Turn:
    row = connection.execute(
        sa.select(job.c.due_at, job.c.id)
        .where(group)
        .order_by(job.c.due_at, job.c.id)
        .offset(nth)
        .limit(1)
    ).one()
    return _Turn(_served(connection, tenant_id), row.due_at, row.id)


def _served(connection: Connection, tenant_id: str) -> datetime:
    """Return when a job of this tenant was last taken: one look at an index."""
    last = sa.select(sa.func.max(job.c.started_at)).where(job.c.tenant_id == tenant_id)
    return connection.execute(last).scalar_one() or NEVER


def heads_of_line(now: datetime, *, with_job: str) -> sa.Select[tuple[str | None]]:
    """Return the id of the job that is due first, for each EHR and priority; null where none is.

    Each is the first entry of a part of the index `ix_job_line`.
    """
    tenants = _tenants()
    one_each = (sa.select(sa.literal(int(one)).label("priority")) for one in Priority)
    priorities = sa.union_all(*one_each).subquery("priorities")
    first = (
        sa.select(job.c.id)
        .where(
            _waits(job),
            job.c.tenant_id == tenants.c.tenant_id,
            job.c.priority == priorities.c.priority,
            sa.or_(job.c.rung_at <= now, job.c.id == with_job),
        )
        .order_by(job.c.due_at, job.c.id)
        .limit(1)
        .correlate(tenants, priorities)
        .scalar_subquery()
    )
    return sa.select(first).select_from(sa.join(tenants, priorities, sa.true()))


def _tenants() -> sa.CTE:
    """Return who has free jobs, each found by one step along the index; null at the end."""
    first = _first_tenant(job).scalar_subquery().label("tenant_id")
    tenants = sa.select(first).cte("tenants", recursive=True)
    other = job.alias("other")
    following = _first_tenant(other).where(other.c.tenant_id > tenants.c.tenant_id)
    step = sa.select(following.correlate(tenants).scalar_subquery())
    return tenants.union_all(step.where(tenants.c.tenant_id.is_not(None)))


def _first_tenant(jobs: sa.FromClause) -> sa.Select[tuple[str]]:
    free = sa.select(jobs.c.tenant_id).where(_waits(jobs))
    return free.order_by(jobs.c.tenant_id).limit(1)  # `min` would not make SQLite use the index


def _waits(jobs: sa.FromClause) -> sa.ColumnElement[bool]:
    """Return the condition of `ix_job_line`, in its own words."""
    is_open = jobs.c.state + sa.literal_column("''") == sa.literal_column("'open'")
    return sa.and_(is_open, jobs.c.lease_expires_at.is_(None))


def _rank(now: datetime) -> sa.ColumnElement[int]:
    return sa.case((job.c.due_at <= now, int(Priority.CRITICAL)), else_=job.c.priority)


def _number(of: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((of, 1), else_=0))
