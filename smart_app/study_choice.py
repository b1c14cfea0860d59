"""Which study the page is about, and what the ledger knows of it.

The order: what the reader clicked; the card's link; the chart's context; the newest study.

Source: CDS Hooks 2.0 `appContext`; SMART App Launch 2.2 `fhirContext`; threat T9.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from cds_service.domain.finding import Result
from cds_service.domain.job import Job, JobState
from cds_service.domain.standing import standing_for, standing_results
from cds_service.domain.study import LONG_AGO, StudyReference
from cds_service.errors import EhrRefused, NotFound, ScopeDenied, UpstreamFailed
from cds_service.usecases.hasten_analysis import hasten_analysis
from smart_app.chart import patient_of, study_of
from smart_app.open_launch import OpenLaunch
from smart_app.study_list import studies_of

log = logging.getLogger(__name__)


class Unread(StrEnum):
    """Why the EHR's own list of studies could not be read."""

    NOT_ALLOWED = "not-allowed"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class StudyChoice:
    """One study of this patient: its newest result and its newest job, where there are any."""

    study_uid: str
    result: Result | None
    job: Job | None
    study: StudyReference | None = None  # as the EHR states it, where it was asked

    @property
    def started(self) -> datetime | None:
        """When the images were taken."""
        if self.result is not None:
            return self.result.study_started
        stated = self.job.study if self.job else self.study
        return stated.started if stated else None

    @property
    def description(self) -> str:
        """What was examined, in the EHR's words."""
        if self.result is not None:
            return self.result.study_description
        stated = self.job.study if self.job else self.study
        return stated.description if stated else ""

    @property
    def is_running(self) -> bool:
        """Whether a job of this study is still open, and more than its write-back is to do."""
        if self.job is None:
            return False
        return self.job.is_analysing or (self.result is None and self.job.state is JobState.OPEN)

    @property
    def has_failed(self) -> bool:
        """Whether the last attempt was given up, with or without an earlier result."""
        if self.job is None or not self.job.is_lost:
            return False
        return self.result is None or self.job.created_at > self.result.computed_at

    @property
    def is_partly_analysed(self) -> bool:
        """Whether some of its images were used and others were not."""
        return self.result is not None and self.result.analysis.is_partial


def choose_study(
    launch: OpenLaunch, *, result_id: str | None = None, job_id: str | None = None
) -> tuple[StudyChoice | None, Unread | None]:
    """Return the study to show, None when this patient has none that we know of.

    result_id, job_id  what the address asks for

    The second value says why the EHR's list could not be asked, where it was needed. Raises
    NotFound when a result, job or study is another patient's: a hard stop, never a
    silent change to a study that fits.
    """
    if result_id or job_id:
        return _known(launch, *_named_by(launch, result_id, job_id)), None
    context = launch.session.app_context
    if context:
        named = _named_by(launch, context.get("result"), context.get("job"), context.get("study"))
        return _known(launch, *named), None
    for imaging_study_id in launch.session.imaging_studies:
        study = study_of(launch, imaging_study_id)
        return replace(_of_study(launch, study.study_uid), study=study), None
    return _newest(launch)


def with_analysis(launch: OpenLaunch, choice: StudyChoice) -> StudyChoice:
    """Ask for the analysis of a study that no hook has asked about, so that a launch is enough.

    One that waits because an intake door asked for it goes before what nobody waits for. A study
    whose patient the EHR does not describe stays as it is: its images could not be matched to
    anybody.
    """
    if choice.is_running:
        owner = (launch.session.tenant_id, launch.session.patient_id)
        jobs = launch.house.jobs.of_models(*owner, [choice.study_uid])
        hasten_analysis(jobs, line=launch.house.line)
    if choice.result is not None or choice.job is not None or choice.study is None:
        return choice
    patient = patient_of(launch)
    if patient is None:
        return choice
    return replace(choice, job=launch.house.dispatch(choice.study, patient))


def _named_by(
    launch: OpenLaunch, result_id: str | None, job_id: str | None, study_uid: str | None = None
) -> tuple[str, str | None]:
    """Return the study that all of these name, and the model of the result or else of the job.

    Raises NotFound when one is not this patient's.
    """
    uids, model_id = {study_uid} if study_uid else set(), None
    if job_id:
        job = job_of_launch(launch, job_id)
        uids.add(job.study.study_uid)
        model_id = job.model_id
    if result_id:
        result = launch.result(result_id)
        uids.add(result.study_uid)
        model_id = result.analysis.model.id
    if len(uids) != 1:
        raise NotFound("The link does not name one study of this patient.")
    return uids.pop(), model_id


def job_of_launch(launch: OpenLaunch, job_id: str) -> Job:
    """Return a job of this chart's patient; raise NotFound for any other."""
    unknown = NotFound("There is no such analysis for this patient.")
    try:
        job = launch.house.jobs.get(job_id)
    except NotFound as error:
        raise unknown from error
    owner = (job.study.tenant_id, job.study.patient_id)
    if owner != (launch.session.tenant_id, launch.session.patient_id):
        raise unknown
    return job


def _of_study(launch: OpenLaunch, study_uid: str, model_id: str | None = None) -> StudyChoice:
    """Return what one model said, or what took its place; without a model the newest of all.

    The job is the newest that no other model's result came from.
    """
    owner = (launch.session.tenant_id, launch.session.patient_id)
    results = launch.house.results.of_models(*owner, [study_uid])
    result = standing_for(model_id, results)
    others = {one.analysis.model.id for one in standing_results(results) if one is not result}
    jobs = launch.house.jobs.of_models(*owner, [study_uid])
    own = (job for job in jobs if job.model_id not in others)
    return StudyChoice(study_uid, result, max(own, key=lambda job: job.created_at, default=None))


def _known(launch: OpenLaunch, study_uid: str, model_id: str | None) -> StudyChoice:
    choice = _of_study(launch, study_uid, model_id)
    if choice.result is None and choice.job is None:
        raise NotFound("This study is not in this patient's chart.")
    return choice


def _newest(launch: OpenLaunch) -> tuple[StudyChoice | None, Unread | None]:
    """Return the patient's newest study that has a result or a job, else their newest study."""
    listed, unread = _listed(launch)
    owner = (launch.session.tenant_id, launch.session.patient_id)
    standing = launch.house.results.studies_of(*owner)  # of one study the newest comes first
    results = {result.study_uid: result for result in reversed(standing)}
    studies = {study.study_uid: study for study in listed}
    jobs = launch.house.jobs.newest_for(*owner, [*results, *studies])
    uids = dict.fromkeys([*results, *jobs]) or studies
    choices = [StudyChoice(uid, results.get(uid), jobs.get(uid), studies.get(uid)) for uid in uids]
    newest = max(choices, key=lambda choice: choice.started or LONG_AGO, default=None)
    return newest, unread


def _listed(launch: OpenLaunch) -> tuple[list[StudyReference], Unread | None]:
    try:
        return studies_of(launch), None
    except (UpstreamFailed, ScopeDenied) as error:
        log.warning("app: no study list, %s, tenant=%s", type(error).__name__, launch.tenant.id)
        is_refusal = isinstance(error, EhrRefused | ScopeDenied)
        return [], Unread.NOT_ALLOWED if is_refusal else Unread.AWAY
