"""The worklist in memory, held to the same contract test as the real one."""

from datetime import datetime

from cds_service.domain.worklist import Case, cases_of
from tests.fakes.ledger import FakeJobs, FakeResults


class FakeWorklist:
    """Worklist, over the jobs and the results of the same ledger."""

    def __init__(self, jobs: FakeJobs, results: FakeResults) -> None:
        self._jobs, self._results = jobs, results

    def cases(self, tenant_id: str, *, since: datetime, limit: int) -> list[Case]:
        happened: dict[tuple[str, str], datetime] = {}
        for key, at in self._happenings(tenant_id):
            happened[key] = max(at, happened.get(key, at))
        keys = sorted(happened, key=lambda key: happened[key], reverse=True)
        wanted = [key for key in keys if happened[key] >= since][:limit]
        return [case for key in wanted for case in self._cases(tenant_id, *key)]

    def _happenings(self, tenant_id: str) -> list[tuple[tuple[str, str], datetime]]:
        jobs = [
            ((job.study.patient_id, job.study.study_uid), job.created_at)
            for job in self._jobs.all
            if job.study.tenant_id == tenant_id
        ]
        results = [
            ((result.patient_id, result.study_uid), result.computed_at)
            for result in self._results.all
            if result.tenant_id == tenant_id
        ]
        return [*jobs, *results]

    def _cases(self, tenant_id: str, patient_id: str, study_uid: str) -> list[Case]:
        results = self._results.of_models(tenant_id, patient_id, [study_uid])
        jobs = self._jobs.of_models(tenant_id, patient_id, [study_uid])
        return cases_of(
            patient_id,
            study_uid,
            sorted(results, key=lambda result: result.computed_at),
            sorted(jobs, key=lambda job: job.created_at),
        )
