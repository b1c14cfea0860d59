"""A study that the EHR gives to another patient: what was known of it is the first one's no more.

The rows stay for the retention period, under an owner that no EHR can name.

Source: architecture "Three keys"; FHIR R4 "id" (letters, digits, dash and dot only).
"""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from cds_service.adapters.ledger.leases import OVER, is_open
from cds_service.adapters.ledger.schema import job, result
from cds_service.domain.finding import MOVED
from cds_service.domain.job import JobState, Lease

ERROR = "StudyMoved"
# By study alone: with the tenant in the condition SQLite walks through all that the tenant has
# (200 ms for 100,000 studies), whatever other index there is.
_JOBS = sa.select(job.c.id, job.c.tenant_id, job.c.patient_id, job.c.created_at)
_RESULTS = sa.select(result.c.id, result.c.tenant_id, result.c.patient_id)


def take_from_others(connection: Connection, lease: Lease, now: datetime) -> bool:
    """Take the study of this lease's job from every other patient of the EHR; tell whether any had.

    Their jobs that were asked for later are left: they are the EHR's newer word.
    """
    study = lease.job.study
    of_study = (
        _JOBS.where(job.c.study_uid == study.study_uid),
        _RESULTS.where(result.c.study_uid == study.study_uid),
    )
    jobs, results = (
        [
            row
            for row in connection.execute(query)
            if row.tenant_id == study.tenant_id
            and row.patient_id != study.patient_id
            and not row.patient_id.startswith(MOVED)
        ]
        for query in of_study
    )
    older = [row.id for row in jobs if row.created_at <= lease.job.created_at]
    stopped = OVER | {"state": JobState.FAILED, "error": ERROR, "updated_at": now}
    if older:
        these = job.c.id.in_(older)
        connection.execute(sa.update(job).where(these, is_open).values(stopped))
        connection.execute(
            sa.update(job)
            .where(these)
            .values(patient_id=MOVED + job.c.patient_id, dispatch_key=MOVED + job.c.id)
        )
    if results:
        connection.execute(
            sa.update(result)
            .where(result.c.id.in_([row.id for row in results]))
            .values(patient_id=MOVED + result.c.patient_id)
        )
    return bool(older or results)
