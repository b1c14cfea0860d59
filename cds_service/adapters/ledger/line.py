"""The line of waiting jobs in SQL: the order of `domain/line.py` as one statement.

A job waits in it when nobody holds it and a worker has been told of it; a job that was sent back,
or whose ring failed, waits for the sweep first.

Source: `domain/line.py`; ports Leases, Jobs. Window functions: SQLite 3.28, PostgreSQL 8.4.
"""

from datetime import datetime

import sqlalchemy as sa

from cds_service.adapters.ledger.leases import is_free
from cds_service.adapters.ledger.schema import job
from cds_service.domain.line import Priority


def line(now: datetime, *, with_job: str) -> sa.Subquery:
    """Return the line as rows of `id` and `place`, from 1.

    with_job   stands in the line if it is free, whether or not a worker has been told of it
    """
    rank = sa.case((job.c.due_at <= now, int(Priority.CRITICAL)), else_=job.c.priority)
    own_line = sa.func.row_number().over(
        partition_by=[job.c.tenant_id, rank], order_by=[job.c.due_at, job.c.id]
    )
    waiting = (
        sa.select(
            job.c.id,
            job.c.tenant_id,
            job.c.due_at,
            rank.label("rank"),
            own_line.label("nth"),
        )
        .where(is_free, sa.or_(job.c.rung_at <= now, job.c.id == with_job))
        .cte("waiting")
    )
    served = _served(waiting)
    turns = [
        waiting.c.rank,
        waiting.c.nth,
        served.c.at.asc().nulls_first(),
        waiting.c.due_at,
        waiting.c.id,
    ]
    place = sa.func.row_number().over(order_by=turns)
    return (
        sa.select(waiting.c.id, place.label("place"))
        .join(served, served.c.tenant_id == waiting.c.tenant_id)
        .subquery("line")
    )


def _served(waiting: sa.CTE) -> sa.CTE:
    """Return when a job of each waiting tenant was last taken: one look at the index for each."""
    tenants = sa.select(waiting.c.tenant_id).distinct().subquery("tenants")
    taken = job.alias("taken")
    last = sa.select(sa.func.max(taken.c.started_at)).where(
        taken.c.tenant_id == tenants.c.tenant_id
    )
    return sa.select(tenants.c.tenant_id, last.scalar_subquery().label("at")).cte("served")
