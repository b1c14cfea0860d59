"""The worker's own parts: leases that beat while a job runs, and the outermost frame."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing import Value
from typing import Any

import pytest

from cds_service import worker
from cds_service.domain.job import JobState, JobStep, Lease
from cds_service.domain.study import SeriesReference
from cds_service.errors import LeaseLost, LedgerUnavailable, SightlineError
from cds_service.usecases.ports import Budget
from cds_service.usecases.run_inference import Workbench
from cds_service.worker import ADDRESS_SPACE_BYTES, BeatingLeases, WorkerProcess, run_job
from tests.builders import a_patient, a_study, a_tenant
from tests.fakes.imaging import FakeClassifier
from tests.fakes.ledger import FakeAuditLog, FakeClock, FakeJobs, FakeResults, FakeTenants

LEASE_S = 0.04  # two beats per lease
OWNER = "worker-1"


class CountingJobs(FakeJobs):
    """The ledger's jobs, with a note of every renewal and a fault to order."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[JobStep] = []
        self.fault: SightlineError | None = None

    def advance(self, lease: Lease, step: JobStep) -> Lease:
        self.steps.append(step)
        if self.fault is not None:
            raise self.fault
        return super().advance(lease, step)

    def an_open_job(self) -> str:
        job, _ = self.open("k-1", a_study(), a_patient(), "cxr_pneumonia_peds")
        return job.id


@pytest.fixture
def ledger() -> CountingJobs:
    return CountingJobs()


@pytest.fixture
def leases(ledger: CountingJobs, monkeypatch: pytest.MonkeyPatch) -> Iterator[BeatingLeases]:
    """Leases whose job has all the time that a slow machine may need."""
    monkeypatch.setattr(worker, "JOB_DEADLINE_LEASES", 600 / LEASE_S)
    leases = BeatingLeases(ledger, LEASE_S, Value("d", 0.0, lock=False))
    yield leases
    leases.rest()
    until(beats_have_stopped)


def taken(leases: BeatingLeases, job_id: str) -> Lease:
    lease = leases.take(job_id, OWNER)
    assert lease is not None
    assert not beats_have_stopped()
    return lease


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)


def beats_have_stopped() -> bool:
    """Tell whether the thread that renews a lease has ended; Python names it by its function."""
    return not any("_beat" in thread.name for thread in threading.enumerate())


def deadline_of(leases: BeatingLeases) -> Any:
    return leases._deadline


def test_a_lease_is_renewed_while_its_job_runs(ledger: CountingJobs, leases: BeatingLeases) -> None:
    taken(leases, ledger.an_open_job())

    until(lambda: len(ledger.steps) >= 3)

    assert set(ledger.steps) == {JobStep.QUEUED}


def test_a_beat_repeats_the_step_that_the_job_is_at(
    ledger: CountingJobs, leases: BeatingLeases
) -> None:
    lease = taken(leases, ledger.an_open_job())

    leases.advance(lease, JobStep.INFERRING)

    until(lambda: ledger.steps.count(JobStep.INFERRING) >= 3)
    assert ledger.get(lease.job.id).step is JobStep.INFERRING


def test_a_slow_beat_never_writes_an_older_step_over_a_newer_one(
    ledger: CountingJobs, leases: BeatingLeases
) -> None:
    written: list[JobStep] = []
    write = FakeJobs.advance

    def slowly(lease: Lease, step: JobStep) -> Lease:
        if step is JobStep.QUEUED:
            begun.set()
            time.sleep(LEASE_S)
        written.append(step)
        return write(ledger, lease, step)

    begun = threading.Event()
    ledger.advance = slowly  # type: ignore[method-assign]
    lease = taken(leases, ledger.an_open_job())
    assert begun.wait(60)

    leases.advance(lease, JobStep.INFERRING)

    until(lambda: written.count(JobStep.INFERRING) >= 2)
    assert JobStep.QUEUED not in written[written.index(JobStep.INFERRING) :]


def test_taking_a_lease_sets_the_deadline_that_the_supervisor_kills_at(
    ledger: CountingJobs, leases: BeatingLeases
) -> None:
    before = time.monotonic()

    leases.take(ledger.an_open_job(), OWNER)

    length = worker.JOB_DEADLINE_LEASES * LEASE_S
    assert before + length <= deadline_of(leases).value <= time.monotonic() + length


def test_a_job_that_is_not_ours_sets_no_deadline(
    ledger: CountingJobs, leases: BeatingLeases
) -> None:
    job_id = ledger.an_open_job()
    ledger.take(job_id, "another")

    assert leases.take(job_id, OWNER) is None
    assert deadline_of(leases).value == 0.0
    assert beats_have_stopped()


def test_the_beats_stop_at_the_deadline(ledger: CountingJobs, leases: BeatingLeases) -> None:
    taken(leases, ledger.an_open_job())
    until(lambda: len(ledger.steps) >= 1)

    deadline_of(leases).value = time.monotonic() - 1

    until(beats_have_stopped)


@pytest.mark.parametrize("end", ["finish", "give_up", "rest"])
def test_the_beats_stop_however_the_job_ends(
    ledger: CountingJobs, leases: BeatingLeases, end: str
) -> None:
    lease = taken(leases, ledger.an_open_job())
    until(lambda: len(ledger.steps) >= 1)

    ends: dict[str, Callable[[], None]] = {
        "finish": lambda: leases.finish(lease, "r-1"),
        "give_up": lambda: leases.give_up(lease, "ArchiveFailed", retry=False),
        "rest": leases.rest,
    }
    ends[end]()

    until(beats_have_stopped)
    assert deadline_of(leases).value == 0.0


def test_a_lost_lease_ends_the_beats(ledger: CountingJobs, leases: BeatingLeases) -> None:
    taken(leases, ledger.an_open_job())

    ledger.fault = LeaseLost("a newer token exists")

    until(beats_have_stopped)


def test_a_ledger_that_is_away_is_tried_again(
    ledger: CountingJobs, leases: BeatingLeases, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.fault = LedgerUnavailable("The ledger gave no answer.")
    taken(leases, ledger.an_open_job())
    until(lambda: len(ledger.steps) >= 2)
    ledger.fault = None
    beaten = len(ledger.steps)

    until(lambda: len(ledger.steps) >= beaten + 2)

    assert "heartbeat missed: job=job-1 LedgerUnavailable" in caplog.text


class Panic(BaseException):
    """What a decoder written in Rust raises when it panics: no Exception."""


class BrokenArchive:
    """An archive whose every answer makes a decoder raise `error`."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def instances(self, *_: object) -> Iterator[bytes]:
        raise self._error

    def series(self, *_: object) -> tuple[SeriesReference, ...]:
        return ()


def a_worker(error: BaseException, leases: BeatingLeases) -> WorkerProcess:
    parts: dict[str, Any] = dict.fromkeys(Workbench.__dataclass_fields__)  # most are not reached
    parts |= {"tenants": FakeTenants(a_tenant()), "archive": BrokenArchive(error)}
    parts |= {"audit": FakeAuditLog(), "clock": FakeClock(), "attempts": 3}
    parts |= {"results": FakeResults(), "budget": Budget()}
    parts |= {"classifiers": lambda _model_id: FakeClassifier()}
    return WorkerProcess(Workbench(**parts), leases)


def test_a_decoders_panic_ends_the_job_and_not_the_worker(
    ledger: CountingJobs, leases: BeatingLeases, caplog: pytest.LogCaptureFixture
) -> None:
    job_id = ledger.an_open_job()

    code = a_worker(Panic("patient Sampleton, Otto"), leases).do(job_id)

    assert code == "Panic"
    assert "Sampleton" not in caplog.text
    assert f"job={job_id} error=Panic" in caplog.text


def test_after_a_panic_the_lease_runs_out_and_is_not_renewed(
    ledger: CountingJobs, leases: BeatingLeases
) -> None:
    job_id = ledger.an_open_job()

    a_worker(Panic(), leases).do(job_id)

    until(beats_have_stopped)
    assert ledger.get(job_id).state is JobState.OPEN  # the sweep takes it from here


@pytest.mark.parametrize("end", [KeyboardInterrupt, SystemExit])
def test_an_order_to_stop_is_obeyed(
    ledger: CountingJobs, leases: BeatingLeases, end: type[BaseException]
) -> None:
    with pytest.raises(end):
        a_worker(end(), leases).do(ledger.an_open_job())

    until(beats_have_stopped)


def test_a_job_that_another_worker_has_is_left(
    ledger: CountingJobs, leases: BeatingLeases, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    job_id = ledger.an_open_job()
    ledger.take(job_id, "another")

    assert a_worker(Panic(), leases).do(job_id) == "not-mine"
    assert f"job={job_id} code=not-mine" in caplog.text


def test_a_process_that_is_no_worker_does_no_job() -> None:
    assert WorkerProcess.current is None

    with pytest.raises(SightlineError):
        run_job("job-1")


LIMITED = """
import resource, sys
if sys.argv[1:]:
    resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
from cds_service.worker import limit_resources
limit_resources()
try:
    bytearray(4 << 30)
except MemoryError:
    print("refused", resource.getrlimit(resource.RLIMIT_AS)[1])
"""


@pytest.mark.parametrize("lower", [None, 2 << 30], ids=["as we set it", "as the machine has it"])
def test_no_worker_takes_more_memory_than_its_limit(lower: int | None) -> None:
    """In a process of its own: a limit cannot be raised again."""
    arguments = [] if lower is None else [str(lower)]

    said = subprocess.run(
        [sys.executable, "-c", LIMITED, *arguments], capture_output=True, text=True, check=True
    )

    assert said.stdout.split() == ["refused", str(lower or ADDRESS_SPACE_BYTES)]
