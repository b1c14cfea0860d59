"""Ask for a study to be analysed: one job, however many hooks ask.

Source: architecture "Three keys", "One hook through the house" point 4.
"""

from cds_service.domain.finding import ModelIdentity, dispatch_key
from cds_service.domain.job import Job
from cds_service.domain.line import Priority
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.errors import DoorbellSilent
from cds_service.usecases.ports import DispatchedJobs, Doorbell


def dispatch_inference(
    study: StudyReference,
    patient: PatientFacts,
    *,
    jobs: DispatchedJobs,
    doorbell: Doorbell,
    model: ModelIdentity,
    again: bool = False,
    priority: Priority = Priority.ASKED,
) -> Job:
    """Return the job for this study as the EHR states it, made now or before.

    With `again` a job that was done is done anew, because the result that stands is not its own:
    the images changed back, or the site went back to an earlier model. A worker is rung only for
    a job that is new or opened again; when nobody hears, the sweep rings again. Raises
    LedgerUnavailable.
    """
    key = dispatch_key(
        study.tenant_id,
        study.patient_id,
        study.study_uid,
        study.series_count,
        study.instance_count,
        model.digest,
        model.configuration,
    )
    job, made = jobs.open(key, study, patient, model.id, again=again, priority=priority)
    if made:
        try:
            doorbell.ring(job.id)
        except DoorbellSilent:
            jobs.unrung([job.id])
    return job
