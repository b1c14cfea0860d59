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


def take_from_others(connection: Connection, lease: Lease, now: datetime) -> bool:
    """Take the study of this lease's job from every other patient of the EHR; tell whether any had.

    Their jobs that were asked for later are left: they are the EHR's newer word.
    """
    study = lease.job.study
    others, theirs = (
        sa.and_(
            table.c.tenant_id == study.tenant_id,
            table.c.study_uid == study.study_uid,
            table.c.patient_id != study.patient_id,
            table.c.patient_id.not_like(f"{MOVED}%"),
        )
        for table in (job, result)
    )
    older = sa.and_(others, job.c.created_at <= lease.job.created_at)
    stopped = OVER | {"state": JobState.FAILED, "error": ERROR, "updated_at": now}
    connection.execute(sa.update(job).where(older, is_open).values(stopped))
    changed = [
        connection.execute(
            sa.update(job)
            .where(older)
            .values(patient_id=MOVED + job.c.patient_id, dispatch_key=MOVED + job.c.id)
        ),
        connection.execute(
            sa.update(result).where(theirs).values(patient_id=MOVED + result.c.patient_id)
        ),
    ]
    return any(one.rowcount for one in changed)
