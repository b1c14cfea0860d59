"""One patient's chart inside a user's own session: whatever the user's token can read, no more.

The address names it after the session, "<session>~<result or job>": an id of our ledger, no
patient data. Each request asks anew whether this user can read it, so a session never has "the
current patient", and two charts open side by side do not mix.

Source: SMART App Launch 2.2 "App protection"; threats T6, T9.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from cds_service.domain.finding import Result
from cds_service.domain.job import Job
from cds_service.domain.worklist import Case
from cds_service.errors import NotFound
from cds_service.usecases.ports import Jobs, ReadableStudies, Results
from smart_app.scopes import LaunchKind
from smart_app.services import AppServices
from smart_app.session import LaunchSession

CHART_MARK = "~"  # in no session's handle
_RESULT, _JOB = "r", "j"
Record = TypeVar("Record", Result, Job)


def chart_name(case: Case) -> str:
    """Name a study's chart in an address."""
    if case.result is not None:
        return _RESULT + case.result.id
    return _JOB + (case.job.id if case.job is not None else "")


def open_chart(
    name: str, session: LaunchSession, house: AppServices, readable: ReadableStudies
) -> tuple[LaunchSession, AppServices]:
    """Return the session as one of this patient, over a ledger of what this user can read.

    Raises NotFound for any other study, in the same words as for one that does not exist.
    """
    unknown = NotFound("This study is not in your worklist.")
    if session.kind is not LaunchKind.USER:
        raise unknown
    results = ReadableResults(house.results, house.jobs, session.tenant_id, readable)
    jobs = ReadableJobs(house.jobs, session.tenant_id, readable)
    try:
        case = _case(name, results, jobs)
    except NotFound as error:
        raise unknown from error
    as_opened = replace(
        session,
        patient=case.patient_id,
        app_context={"study": case.study_uid, **_named(case)},
        imaging_studies=(),
        needs_patient_banner=True,  # no EHR shows one around this page
    )
    return as_opened, replace(house, results=results, jobs=jobs)


@dataclass(frozen=True, slots=True)
class ReadableResults:
    """The Results port, as if the ledger held only what this user can read."""

    results: Results
    jobs: Jobs  # where an EHR has no ImagingStudy they know the order's number
    tenant_id: str
    readable: ReadableStudies

    def get(self, result_id: str) -> Result:
        """Return it; raise NotFound."""
        [*found] = self._allowed([self.results.get(result_id)])
        if not found:
            raise NotFound("There is no such result.")
        return found[0]

    def of_models(self, tenant_id: str, patient_id: str, study_uids: Sequence[str]) -> list[Result]:
        """Return the newest result of each of these studies by each model."""
        return self._allowed(self.results.of_models(tenant_id, patient_id, study_uids))

    def studies_of(self, tenant_id: str, patient_id: str) -> list[Result]:
        """Return the results that stand of every study of this patient, newest study first."""
        return self._allowed(self.results.studies_of(tenant_id, patient_id))

    def _allowed(self, found: list[Result]) -> list[Result]:
        own = [one for one in found if one.tenant_id == self.tenant_id]
        unnamed = [one for one in own if one.imaging_study_id is None]
        jobs: dict[str, Job] = {}
        if unnamed:  # all of one patient, as every read of this port is
            uids = [one.study_uid for one in unnamed]
            jobs = self.jobs.newest_for(self.tenant_id, unnamed[0].patient_id, uids)
        return _readable(own, lambda one: _of_result(one, jobs.get(one.study_uid)), self.readable)


@dataclass(frozen=True, slots=True)
class ReadableJobs:
    """The Jobs port, in the same way."""

    jobs: Jobs
    tenant_id: str
    readable: ReadableStudies

    def get(self, job_id: str) -> Job:
        """Return the job; raise NotFound."""
        [*found] = self._allowed([self.jobs.get(job_id)])
        if not found:
            raise NotFound("There is no such job.")
        return found[0]

    def newest_for(
        self, tenant_id: str, patient_id: str, study_uids: Sequence[str]
    ) -> dict[str, Job]:
        """Return the newest job of each of these studies."""
        found = self.jobs.newest_for(tenant_id, patient_id, study_uids)
        return {one.study.study_uid: one for one in self._allowed(list(found.values()))}

    def of_models(self, tenant_id: str, patient_id: str, study_uids: Sequence[str]) -> list[Job]:
        """Return the newest job of each of these studies for each model."""
        return self._allowed(self.jobs.of_models(tenant_id, patient_id, study_uids))

    def analysing(self, tenant_id: str, patient_id: str) -> list[Job]:
        """Return this patient's jobs whose result is still to come."""
        return self._allowed(self.jobs.analysing(tenant_id, patient_id))

    def _allowed(self, found: list[Job]) -> list[Job]:
        own = [one for one in found if one.study.tenant_id == self.tenant_id]
        return _readable(own, _of_job, self.readable)


def _readable(
    found: list[Record], case_of: Callable[[Record], Case], readable: ReadableStudies
) -> list[Record]:
    studies = [case_of(one).chart_study for one in found]
    allowed = readable.among(study for study in studies if study is not None)
    return [one for one, study in zip(found, studies, strict=True) if study in allowed]


def _named(case: Case) -> dict[str, str]:
    if case.result is not None:
        return {"result": case.result.id}
    return {"job": case.job.id} if case.job is not None else {}


def _case(name: str, results: Results, jobs: Jobs) -> Case:
    kind, ledger_id = name[:1], name[1:]
    if kind == _RESULT:
        return _of_result(results.get(ledger_id))
    if kind == _JOB:
        return _of_job(jobs.get(ledger_id))
    raise NotFound("This names no study.")


def _of_result(result: Result, job: Job | None = None) -> Case:
    return Case(result.patient_id, result.study_uid, result, job)


def _of_job(job: Job) -> Case:
    return Case(job.study.patient_id, job.study.study_uid, None, job)
