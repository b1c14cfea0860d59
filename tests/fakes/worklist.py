"""The worklist in memory, held to the same contract test as the real one."""

from collections.abc import Iterator
from datetime import date, datetime

from cds_service.domain.finding import MOVED, Result
from cds_service.domain.worklist import Case, Window, cases_of
from tests.fakes.ledger import FakeJobs, FakeResults


class FakeWorklist:
    """Worklist, over the jobs and the results of the same ledger."""

    def __init__(self, jobs: FakeJobs, results: FakeResults) -> None:
        self._jobs, self._results = jobs, results

    def cases(
        self,
        tenant_id: str,
        window: Window,
        *,
        limit: int,
        skip: int = 0,
        only_critical: bool = False,
    ) -> list[Case]:
        happened: dict[tuple[str, str], datetime] = {}
        for key, at in self._happenings(tenant_id, window, only_critical):
            happened[key] = max(at, happened.get(key, at))
        keys = sorted(happened, key=lambda key: happened[key], reverse=True)
        wanted = [
            (patient_id, study_uid)
            for patient_id, study_uid in keys
            if happened[patient_id, study_uid] >= window.since and not patient_id.startswith(MOVED)
        ][skip : skip + limit]
        return [case for key in wanted for case in self._cases(tenant_id, *key)]

    def _happenings(
        self, tenant_id: str, window: Window, only_critical: bool
    ) -> Iterator[tuple[tuple[str, str], datetime]]:
        for job in self._jobs.all:
            study = job.study
            is_ours = study.tenant_id == tenant_id and _is_taken_in(study.started, window)
            if is_ours and not only_critical:
                yield (study.patient_id, study.study_uid), job.created_at
        for result in self._results.all:
            is_ours = result.tenant_id == tenant_id and _is_taken_in(result.study_started, window)
            if is_ours and (not only_critical or _is_critical(result)):
                yield (result.patient_id, result.study_uid), result.computed_at

    def _cases(self, tenant_id: str, patient_id: str, study_uid: str) -> list[Case]:
        results = self._results.of_models(tenant_id, patient_id, [study_uid])
        jobs = self._jobs.of_models(tenant_id, patient_id, [study_uid])
        return cases_of(
            patient_id,
            study_uid,
            sorted(results, key=lambda result: result.computed_at),
            sorted(jobs, key=lambda job: job.created_at),
        )


def _is_taken_in(started: datetime | None, window: Window) -> bool:
    if window.first is None and window.last is None:
        return True
    if started is None:
        return False
    return (window.first or date.min) <= started.date() <= (window.last or date.max)


def _is_critical(result: Result) -> bool:
    return any(one.present and one.critical for one in result.analysis.findings)
