"""The history of a finding: what the AI said about it in each study of one patient.

Studies are comparable when the same finding was looked for in them; one that was not analysed has
no score to compare.

Source: architecture "Findings are kept for the site's retention".
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from cds_service.domain.finding import Coding, Finding, ModelIdentity, Result
from cds_service.domain.job import Job
from cds_service.domain.study import LONG_AGO
from cds_service.usecases.ports import Jobs, Results
from cds_service.usecases.review_finding import LaunchFacts


@dataclass(frozen=True, slots=True)
class Reading:
    """What the AI said about one finding in one study."""

    result_id: str
    study_uid: str
    started: datetime | None  # None: the EHR does not state when
    description: str
    finding: Finding
    model: ModelIdentity


def finding_history(
    launch: LaunchFacts, coding: Coding, *, results: Results
) -> tuple[Reading, ...]:
    """Return the newest reading of each of this patient's studies, oldest first, undated first."""
    readings = (
        _reading(result, finding)
        for result in results.studies_of(launch.tenant_id, launch.patient_id)
        for finding in result.analysis.findings
        if (finding.coding.system, finding.coding.code) == (coding.system, coding.code)
    )
    return tuple(sorted(readings, key=lambda reading: moment(reading.started)))


def newest_after(
    launch: LaunchFacts, study_uid: str, started: datetime | None, *, results: Results
) -> Result | None:
    """Return this patient's newest study with a result when it is newer than the one named.

    An undated study is not called older than a dated one, nor newer.
    """
    if started is None:
        return None
    newest = results.studies_of(launch.tenant_id, launch.patient_id)[:1]
    newer = (
        result
        for result in newest
        if result.study_uid != study_uid and moment(result.study_started) > moment(started)
    )
    return next(newer, None)


def analysing_after(
    launch: LaunchFacts, study_uid: str, started: datetime | None, *, jobs: Jobs
) -> Job | None:
    """Return the job of this patient's newest study that waits for its result, if it is newer.

    As for `newest_after`, undated studies are not compared.
    """
    if started is None:
        return None
    waiting = (
        job
        for job in jobs.analysing(launch.tenant_id, launch.patient_id)
        if job.study.study_uid != study_uid and moment(job.study.started) > moment(started)
    )
    return max(waiting, key=lambda job: moment(job.study.started), default=None)


def moment(started: datetime | None) -> datetime:
    """Return when a study was, comparable with any other; an undated one was long ago."""
    if started is None:
        return LONG_AGO
    return started if started.tzinfo else started.replace(tzinfo=UTC)


def _reading(result: Result, finding: Finding) -> Reading:
    return Reading(
        result_id=result.id,
        study_uid=result.study_uid,
        started=result.study_started,
        description=result.study_description,
        finding=finding,
        model=result.analysis.model,
    )
