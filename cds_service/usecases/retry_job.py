"""Retry a job that was given up: somebody has put right what stood in its way, or wants to try.

A job that killed its worker twice may kill one more, not two: its next crash ends it at once.

Source: architecture "a job that kills its worker twice is quarantined"; threat T19.
"""

from collections.abc import Callable

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.job import Job
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.errors import ScopeDenied
from cds_service.usecases.note_change import ADMINISTRATOR
from cds_service.usecases.ports import AuditLog, Clock, LostJobs
from cds_service.usecases.review_finding import LaunchFacts


def retry_job(
    launch: LaunchFacts,
    job: Job,
    patient: PatientFacts,
    *,
    lost: LostJobs,
    dispatch: Callable[[StudyReference, PatientFacts], Job],
    audit: AuditLog,
    clock: Clock,
) -> Job:
    """Ask again for the study of a job of this chart; one that is not lost stays as it is.

    Raises ScopeDenied when the user is not known as a clinician.
    """
    if launch.user is None or not launch.may_review:
        raise ScopeDenied("Only a clinician whom the EHR names can ask for the analysis again.")
    if not lost.release(job.id):
        return job
    audit.record(_event(job, launch.user, clock))
    return dispatch(job.study, patient)


def release_job(job: Job, *, lost: LostJobs, audit: AuditLog, clock: Clock) -> bool:
    """Let a lost job be asked for again by the next hook or page; False when it is not lost.

    Who the patient is was forgotten when the job ended, and the chart tells it again.
    """
    if not lost.release(job.id):
        return False
    audit.record(_event(job, ADMINISTRATOR, clock))
    return True


def _event(job: Job, agent: str, clock: Clock) -> AuditEvent:
    return AuditEvent(
        action=AuditAction.JOB_RELEASED,
        at=clock(),
        tenant_id=job.study.tenant_id,
        agent=agent,
        outcome="success",
        patient_id=job.study.patient_id,
        study_uid=job.study.study_uid,
        detail=f"job {job.id}, {job.state}",
    )
