"""Decide whether a study is to be analysed, whoever tells of it: a hook or an intake door.

Source: architecture "Three keys"; threat T22 (a study that grew).
"""

from datetime import datetime, timedelta

from cds_service.domain.binding import MISMATCH_CODES
from cds_service.domain.finding import ModelIdentity, Result
from cds_service.domain.job import Job, JobState
from cds_service.domain.study import StudyReference

RETRY_FAILED_AFTER = timedelta(minutes=10)
# Whose images they are may be put right at the EHR or the archive, and nobody tells us.
RETRY_MISMATCH_AFTER = timedelta(hours=1)


def wants_analysis(
    study: StudyReference,
    job: Job | None,
    result: Result | None,
    model: ModelIdentity,
    now: datetime,
) -> bool:
    """Tell whether a job has to be asked for: none yet, a failed one, new images, a new model.

    One whose images did not match the patient is asked for again after a while.

    job, result   the newest that the ledger has of this study
    model         the one that the study would go to now
    """
    if job is None:
        return result is None or not model.is_same_version_as(result.analysis.model)
    if job.state is JobState.FAILED:
        return now - job.updated_at > RETRY_FAILED_AFTER
    if _has_changed(study, job.study):
        return True
    if job.state is not JobState.DONE or result is None:
        return False
    reason = result.analysis.reason
    is_mismatch = reason is not None and reason.code in MISMATCH_CODES
    if is_mismatch and now - job.updated_at > RETRY_MISMATCH_AFTER:
        return True
    return not model.is_same_version_as(result.analysis.model)


def _has_changed(study: StudyReference, before: StudyReference) -> bool:
    """Tell whether the EHR now states other counts; one that it does not state says nothing."""
    return any(
        now not in (None, then)
        for now, then in (
            (study.series_count, before.series_count),
            (study.instance_count, before.instance_count),
        )
    )
