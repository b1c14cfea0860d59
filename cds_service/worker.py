"""The worker: a supervisor of long-lived processes, each with one ONNX session.

The queue brings a job id; `run_job` takes it through `usecases/run_inference`. The supervisor
kills a process whose job passed its deadline, replaces one that ended, and sweeps every 5 s.

Source: architecture "`sightline worker` is our supervisor",
"The worker process is the blast radius".
"""

import logging
import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from multiprocessing.sharedctypes import Synchronized
from secrets import token_hex

from cds_service.domain.job import JobStep, Lease
from cds_service.domain.review import reviewed_result
from cds_service.errors import LeaseLost, SightlineError
from cds_service.settings import Settings
from cds_service.telemetry import configure_logging
from cds_service.usecases.ports import Leases
from cds_service.usecases.publish_reviews import publish_reviews
from cds_service.usecases.run_inference import Workbench, run_inference

log = logging.getLogger(__name__)

HEARTBEATS_PER_LEASE = 2
JOB_DEADLINE_LEASES = 6  # a job may renew its lease for this many leases in all
WORKER_NICENESS = 10
KILL_GRACE_S = 5.0
LOOK_EVERY_S = 0.5
SWEEP_EVERY_S = 5.0  # how long a lost ring goes unnoticed
STOP_GRACE_S = 20.0
FAILED_START_S = 10.0  # a process that ends sooner would do so again: the next waits as long
# Measured: 0.4 GiB ready to work; at most 1.3 GiB while decoding an image of the largest size that
# is read (64 megapixels; native, RLE, JPEG-LS, JPEG 2000). The study's own bytes are up to 0.5 GiB.
ADDRESS_SPACE_BYTES = 3 * 1024**3


class BeatingLeases:
    """Leases that renew themselves while a job runs, until the job's deadline.

    Wraps the ledger's Leases. onnxruntime and the decoders release the interpreter's lock, so
    the thread beats during long C calls; past the deadline it stops, and the lease expires.
    """

    def __init__(self, leases: Leases, lease_s: float, deadline: "Synchronized[float]") -> None:
        self._leases = leases
        self._lease_s = lease_s
        self._deadline = deadline
        self._step = JobStep.QUEUED
        self.job_id = ""  # of the job that is or was in work, for the log
        self._stop = threading.Event()
        self._turn = threading.Lock()  # else a beat could write the step before over a new one

    def take_in_turn(self, rung_id: str, owner: str) -> Lease | None:
        """Take the lease of the job whose turn it is, and start to beat."""
        return self._begun(self._leases.take_in_turn(rung_id, owner))

    def take(self, job_id: str, owner: str) -> Lease | None:
        """Take the lease of this job, and start to beat."""
        return self._begun(self._leases.take(job_id, owner))

    def _begun(self, lease: Lease | None) -> Lease | None:
        if lease is not None:
            self.job_id = lease.job.id
            self._step = JobStep.QUEUED
            self._deadline.value = time.monotonic() + JOB_DEADLINE_LEASES * self._lease_s
            self._stop = threading.Event()
            threading.Thread(target=self._beat, args=(lease, self._stop), daemon=True).start()
        return lease

    def advance(self, lease: Lease, step: JobStep) -> Lease:
        """Renew the lease and note the step."""
        with self._turn:
            self._step = step
            return self._leases.advance(lease, step)

    def finish(self, lease: Lease, result_id: str) -> None:
        """Stop beating and mark the job done."""
        self.rest()
        self._leases.finish(lease, result_id)

    def give_up(self, lease: Lease, error: str, *, retry: bool) -> None:
        """Stop beating and give the job back."""
        self.rest()
        self._leases.give_up(lease, error, retry=retry)

    def rest(self) -> None:
        """Stop beating, however the job ended: an abandoned lease must expire."""
        self._stop.set()
        self._deadline.value = 0.0

    def _beat(self, lease: Lease, stop: threading.Event) -> None:
        while not stop.wait(self._lease_s / HEARTBEATS_PER_LEASE):
            if time.monotonic() > self._deadline.value:
                return
            try:
                with self._turn:
                    self._leases.advance(lease, self._step)
            except LeaseLost:
                return
            except SightlineError as error:
                log.warning("heartbeat missed: job=%s %s", lease.job.id, type(error).__name__)


class WorkerProcess:
    """One worker process: set up once, then asked by RQ for one job after the other."""

    current: "WorkerProcess | None" = None  # RQ calls a module function; this is its object

    def __init__(self, bench: Workbench, leases: BeatingLeases) -> None:
        self._bench = replace(bench, leases=leases)
        self._leases = leases
        self._name = f"worker-{os.getpid()}-{token_hex(4)}"

    def do(self, rung_id: str) -> str:
        """Do one job, whichever's turn it is at this ring; what ends it is a code for the log.

        This is the outermost frame: RQ would log an exception whole, text and traceback, and
        a decoder's panic is a BaseException (pylibjpeg-rle 2.2.0).
        """
        started = time.monotonic()
        self._leases.job_id = rung_id
        try:
            code = self._done(rung_id)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
            code = type(error).__name__
            log.error("job failed unexpectedly: job=%s error=%s", self._leases.job_id, code)
        finally:
            self._leases.rest()
        elapsed_ms = (time.monotonic() - started) * 1000
        log.info("job=%s code=%s ms=%d", self._leases.job_id, code, elapsed_ms)
        return code

    def _done(self, rung_id: str) -> str:
        result_id = reviewed_result(rung_id)
        if result_id is not None:
            return publish_reviews(result_id, self._bench.reviews)
        return run_inference(rung_id, self._name, self._bench)


def run_job(job_id: str) -> str:
    """Do the job with this id: the one function that the queue may name."""
    if WorkerProcess.current is None:
        raise SightlineError("This process is not a Sightline worker.")
    return WorkerProcess.current.do(job_id)


def work(settings: Settings, deadline: "Synchronized[float]") -> None:
    """Be one worker process until SIGTERM; what ends it sooner is one line in the log."""
    configure_logging(settings.log_level)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to handle
    threading.Thread(target=_end_with_the_supervisor, daemon=True).start()
    try:
        _do_jobs(settings, deadline)
    except SightlineError as error:
        log.critical("worker cannot work: %s", error)
        sys.exit(1)
    except Exception as error:  # the outermost frame: the class is told, its text may be PHI
        log.critical("worker ended: %s.%s", type(error).__module__, type(error).__qualname__)
        sys.exit(1)


def _do_jobs(settings: Settings, deadline: "Synchronized[float]") -> None:
    """Limit resources, load the model, and ask RQ for one job after the other."""
    from cds_service.wiring import queue_worker, workbench  # in the child only: heavy libraries

    limit_resources()
    # Beside a busy worker the hook's p99 was 58 ms, and 32 ms when the worker stands back (2 shared
    # cores, 2026-11-22): a card is waited for, a job is not.
    os.nice(WORKER_NICENESS)
    bench = workbench(settings)
    leases = BeatingLeases(bench.leases, settings.job_lease_s, deadline)
    WorkerProcess.current = WorkerProcess(bench, leases)
    log.info("worker ready")
    queue_worker(settings).work(logging_level="WARNING", with_scheduler=False)


def _end_with_the_supervisor() -> None:
    """End this process when its supervisor is gone: nobody else would, and nobody would watch."""
    supervisor = multiprocessing.parent_process()
    if supervisor is None:
        return
    supervisor.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_GRACE_S)
    os._exit(1)


def limit_resources() -> None:
    """Bound what hostile pixels can take: address space, files, core dumps.

    A limit that the machine has set already and that is lower stays.
    """
    limits = {
        resource.RLIMIT_AS: ADDRESS_SPACE_BYTES,
        resource.RLIMIT_NOFILE: 256,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in limits.items():
        _, hard = resource.getrlimit(kind)
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (limit, limit))


@dataclass(frozen=True, slots=True)
class _Child:
    """One worker process; `deadline` is its job's, 0.0 between jobs, on the monotonic clock."""

    process: BaseProcess
    deadline: "Synchronized[float]"
    started: float


class Supervisor:
    """Keeps `count` worker processes alive and the ledger swept."""

    def __init__(self, settings: Settings, count: int, sweep: Callable[[], int]) -> None:
        self._settings = settings
        self._count = count
        self._sweep = sweep
        # spawn: an ONNX session or a database connection must never cross a fork.
        self._context = multiprocessing.get_context("spawn")
        self._children: list[_Child] = []
        self._no_start_before = 0.0
        self._next_sweep = 0.0
        self._is_stopping = False

    def run(self) -> None:
        """Supervise until SIGTERM or SIGINT, then stop every child."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        while not self._is_stopping:
            self.look()
            time.sleep(LOOK_EVERY_S)
        self.stop()

    def look(self) -> None:
        """Replace the children that ended or passed their deadline; sweep when it is time."""
        self._children = [child for child in self._children if self._is_well(child)]
        while len(self._children) < self._count and time.monotonic() >= self._no_start_before:
            self._children.append(self._spawn())
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + SWEEP_EVERY_S
            self._try_sweep()

    def stop(self) -> None:
        """Let every child finish its job for 20 s in all, then kill; an open lease runs out."""
        for child in self._children:
            child.process.terminate()
        grace_ends = time.monotonic() + STOP_GRACE_S
        for child in self._children:
            child.process.join(max(0.0, grace_ends - time.monotonic()))
            child.process.kill()
            child.process.join()
        self._children.clear()

    def _on_signal(self, _number: int, _frame: object) -> None:
        self._is_stopping = True

    def _spawn(self) -> _Child:
        deadline = self._context.Value("d", 0.0, lock=False)
        process = self._context.Process(target=work, args=(self._settings, deadline), name="worker")
        process.start()
        return _Child(process, deadline, time.monotonic())

    def _is_well(self, child: _Child) -> bool:
        process, now = child.process, time.monotonic()
        if not process.is_alive():
            log.error("worker %s ended with exit code %s", process.pid, process.exitcode)
            if now < child.started + FAILED_START_S:
                self._no_start_before = now + FAILED_START_S
            return False
        if child.deadline.value and now > child.deadline.value + KILL_GRACE_S:
            log.error("worker %s killed: its job passed the deadline", process.pid)
            process.kill()
            process.join()
            return False
        return True

    def _try_sweep(self) -> None:
        try:
            rung = self._sweep()
        except SightlineError as error:
            log.warning("sweep failed: %s", type(error).__name__)
            return
        if rung:
            log.info("sweep rang %d jobs", rung)
