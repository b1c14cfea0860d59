"""The jobs that wait for a worker, counted, and for how long the oldest of them has waited.

Source: port WaitingJobs; `leases.py` has the rules of a lease.
"""

from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger.connection import ledger_clock, reading
from cds_service.adapters.ledger.leases import is_open
from cds_service.adapters.ledger.schema import job
from cds_service.domain.line import Backlog, Priority
from cds_service.usecases.ports import Clock

LOOKED_AT = 1000  # of the jobs that wait, those asked for first: a probe reads no more


class SqlWaitingJobs:
    """What is open and held by nobody; a lease that ran out holds nothing.

    clock   for tests; None is the database's clock
    """

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._now = ledger_clock(clock)

    def waiting(self) -> list[Backlog]:
        """Return them by EHR and priority, the priority that comes first at the top."""
        with reading(self._engine) as connection:
            now = self._now(connection)
            grouped = (
                sa.select(
                    job.c.tenant_id,
                    job.c.priority,
                    sa.func.count().label("jobs"),
                    sa.func.min(job.c.updated_at).label("since"),
                )
                .where(_waits(now))
                .group_by(job.c.tenant_id, job.c.priority)
                .order_by(job.c.priority, job.c.tenant_id)
            )
            return [
                Backlog(row.tenant_id, Priority(row.priority), row.jobs, now - row.since)
                for row in connection.execute(grouped)
            ]

    def oldest_wait(self) -> timedelta | None:
        """Return the longest wait among the 1000 that were asked for first; one indexed read."""
        with reading(self._engine) as connection:
            now = self._now(connection)
            first = sa.select(job.c.updated_at).where(_waits(now)).order_by(job.c.created_at)
            among = first.limit(LOOKED_AT).subquery()
            since = connection.execute(sa.select(sa.func.min(among.c.updated_at))).scalar_one()
            return None if since is None else now - since


def _waits(now: datetime) -> sa.ColumnElement[bool]:
    # While no supervisor sweeps, nobody takes away the lease of a worker that died.
    is_held = sa.and_(job.c.lease_expires_at.is_not(None), job.c.lease_expires_at > now)
    return sa.and_(is_open, sa.not_(is_held))
