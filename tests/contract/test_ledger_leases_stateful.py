"""Two workers, a sweeper and crashes in any order: one lease at a time, one result at most.

Source: architecture "A lease with a fencing token".
"""

import shutil
import tempfile
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import connect, upgrade
from cds_service.domain.job import JobState, JobStep, Lease
from cds_service.errors import LeaseLost
from tests.builders import a_patient, a_result, a_study
from tests.contract.ledgers import Ledger, fake_ledger, sql_ledger, sqlite_url

WORKERS = ["worker-1", "worker-2"]
workers = st.sampled_from(WORKERS)


class LeaseMachine(RuleBasedStateMachine):
    """One job, two workers that believe in their own lease until told otherwise."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = self.new_ledger()
        self.leases: dict[str, Lease] = {}
        self.tokens: list[int] = []
        self.finished = 0
        self.job_id = self.open()

    def new_ledger(self) -> Ledger:
        return fake_ledger()

    def open(self) -> str:
        job, _ = self.ledger.jobs.open("key", a_study(), a_patient(), "model")
        return job.id

    @property
    def now(self) -> datetime:
        return self.ledger.clock.now

    @rule(worker=workers)
    def take(self, worker: str) -> None:
        lease = self.ledger.jobs.take(self.job_id, worker)
        if lease is not None:
            self.leases[worker] = lease
            self.tokens.append(lease.token)

    @precondition(lambda self: self.leases)
    @rule(worker=workers, step=st.sampled_from([JobStep.FETCHING, JobStep.INFERRING]))
    def beat(self, worker: str, step: JobStep) -> None:
        if lease := self.leases.get(worker):
            try:
                self.leases[worker] = self.ledger.jobs.advance(lease, step)
            except LeaseLost:
                del self.leases[worker]

    @precondition(lambda self: self.leases)
    @rule(worker=workers)
    def save_and_finish(self, worker: str) -> None:
        if lease := self.leases.pop(worker, None):
            try:
                saved = self.ledger.results.save(a_result(id=f"r-{worker}"), lease)
                self.ledger.jobs.finish(lease, saved.id)
            except LeaseLost:
                return
            self.finished += 1

    @precondition(lambda self: self.leases)
    @rule(worker=workers)
    def save_and_crash(self, worker: str) -> None:
        if lease := self.leases.pop(worker, None):
            try:
                self.ledger.results.save(a_result(id=f"r-{worker}"), lease)
            except LeaseLost:
                return

    @rule(worker=workers)
    def crash(self, worker: str) -> None:
        self.leases.pop(worker, None)

    @precondition(lambda self: self.leases)
    @rule(worker=workers, retry=st.booleans())
    def give_up(self, worker: str, retry: bool) -> None:
        if lease := self.leases.pop(worker, None):
            try:
                self.ledger.jobs.give_up(lease, "ArchiveFailed", retry=retry)
            except LeaseLost:
                return

    @rule(seconds=st.sampled_from([1, 10, 19, 20, 21, 31]))
    def wait(self, seconds: int) -> None:
        self.ledger.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        self.ledger.jobs.reclaim()

    @rule()
    def another_hook(self) -> None:
        assert self.open() == self.job_id

    @invariant()
    def at_most_one_lease_is_valid(self) -> None:
        valid = [lease for lease in self.leases.values() if lease.expires_at > self.now]
        assert len(valid) <= 1

    @invariant()
    def tokens_only_rise(self) -> None:
        assert self.tokens == sorted(set(self.tokens))

    @invariant()
    def there_is_one_result_at_most_and_it_is_the_jobs(self) -> None:
        found = self.ledger.results.studies_of("t-1", "p-1")
        job = self.ledger.jobs.get(self.job_id)
        assert len(found) <= 1 and self.finished <= 1
        assert (job.state is JobState.DONE) == (self.finished == 1)
        if job.state is JobState.DONE:
            assert [result.id for result in found] == [job.result_id]

    def teardown(self) -> None:
        """A job that is not over is rung within a minute, and can be finished."""
        self.ledger.clock.advance(30)
        rung = self.ledger.jobs.reclaim()
        job = self.ledger.jobs.get(self.job_id)
        if job.state is JobState.OPEN:
            assert rung == [self.job_id]
            self.leases.clear()
            self.take(WORKERS[0])
            self.save_and_finish(WORKERS[0])
            self.there_is_one_result_at_most_and_it_is_the_jobs()
            assert self.finished == 1


class SqliteLeaseMachine(LeaseMachine):
    """The same on SQLite."""

    def new_ledger(self) -> Ledger:
        self.folder = Path(tempfile.mkdtemp(prefix="sightline-"))
        self.engine: Engine = connect(sqlite_url(self.folder))
        upgrade(self.engine)
        return sql_ledger(self.engine)

    def teardown(self) -> None:
        """Leave nothing behind."""
        try:
            super().teardown()
        finally:
            self.engine.dispose()
            shutil.rmtree(self.folder)


TestFakeLeases = LeaseMachine.TestCase
TestFakeLeases.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)

TestSqliteLeases = pytest.mark.slow(SqliteLeaseMachine.TestCase)
TestSqliteLeases.settings = settings(
    max_examples=25,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
