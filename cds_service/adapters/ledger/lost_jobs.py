"""Jobs that were given up, in the ledger.

Source: port LostJobs; `leases.py` has the rules of a crash.
"""

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger.connection import reading, writing
from cds_service.adapters.ledger.jobs import job_from, job_row
from cds_service.adapters.ledger.leases import CRASHES
from cds_service.adapters.ledger.schema import job
from cds_service.domain.job import Job, JobState

SHOWN = 200  # newest first
_is_lost = job.c.state.in_([JobState.FAILED, JobState.QUARANTINED])


class SqlLostJobs:
    """The failed and the quarantined jobs."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, job_id: str) -> Job:
        """Return any job; raise NotFound."""
        with reading(self._engine) as connection:
            return job_from(job_row(connection, job_id))

    def lost(self) -> list[Job]:
        """Return them, newest first, at most 200."""
        newest = sa.select(job).where(_is_lost).order_by(job.c.updated_at.desc()).limit(SHOWN)
        with reading(self._engine) as connection:
            return [job_from(row) for row in connection.execute(newest)]

    def release(self, job_id: str) -> bool:
        """Make it a failed job with one crash left; False when it is not lost."""
        released = (
            sa.update(job)
            .where(job.c.id == job_id, _is_lost)
            .values(state=JobState.FAILED, crashes=CRASHES - 1)
        )
        with writing(self._engine) as connection:
            return connection.execute(released).rowcount == 1
