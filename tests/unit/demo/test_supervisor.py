"""The supervisor, with real child processes that stand where the worker stands."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path

import pytest
from redis.exceptions import ConnectionError as RedisGone

from cds_service import worker
from cds_service.errors import LedgerUnavailable, SettingsInvalid
from cds_service.settings import Settings
from cds_service.worker import KILL_GRACE_S, Supervisor

SETTINGS = Settings.from_env(
    {
        "SIGHTLINE_DATA": "/nowhere",
        "SIGHTLINE_PUBLIC_URL": "http://127.0.0.1:8000",
        "SIGHTLINE_REDIS_URL": "redis://127.0.0.1:1/0",
    }
)
REPOSITORY = Path(__file__).resolve().parents[3]


def idle(_: Settings, deadline: "Synchronized[float]") -> None:
    time.sleep(600)


def over_its_deadline(_: Settings, deadline: "Synchronized[float]") -> None:
    deadline.value = time.monotonic() - KILL_GRACE_S - 1
    time.sleep(600)


def ends_at_once(_: Settings, deadline: "Synchronized[float]") -> None:
    """Stand for a worker whose model is missing."""


class Sweep:
    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> int:
        self.count += 1
        raise LedgerUnavailable("The ledger gave no answer.")


@pytest.fixture
def sweep() -> Sweep:
    return Sweep()


@pytest.fixture
def supervise(monkeypatch: pytest.MonkeyPatch, sweep: Sweep) -> Iterator[Callable[..., Supervisor]]:
    started: list[Supervisor] = []

    def start(stand_in: Callable[..., None]) -> Supervisor:
        monkeypatch.setattr(worker, "work", stand_in)
        supervisor = Supervisor(SETTINGS, 1, sweep)
        started.append(supervisor)
        supervisor.look()
        return supervisor

    yield start
    for supervisor in started:
        supervisor.stop()


def pid_of(supervisor: Supervisor) -> int | None:
    return supervisor._children[0].process.pid if supervisor._children else None


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def looked(supervisor: Supervisor, condition: Callable[[], bool]) -> None:
    def look() -> bool:
        supervisor.look()
        return condition()

    until(look)


def test_a_worker_that_is_well_is_left_alone(supervise: Callable[..., Supervisor]) -> None:
    supervisor = supervise(idle)
    first = pid_of(supervisor)

    supervisor.look()

    assert first is not None and pid_of(supervisor) == first


def test_a_worker_that_died_is_replaced(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "FAILED_START_S", 0.0)
    supervisor = supervise(idle)
    first = pid_of(supervisor)
    supervisor._children[0].process.kill()

    looked(supervisor, lambda: pid_of(supervisor) not in (None, first))


def test_a_worker_past_its_jobs_deadline_is_killed_and_replaced(
    supervise: Callable[..., Supervisor], caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = supervise(over_its_deadline)
    first = supervisor._children[0].process

    looked(supervisor, lambda: pid_of(supervisor) != first.pid)

    assert first.exitcode == -signal.SIGKILL
    assert "its job passed the deadline" in caplog.text


def test_one_that_ends_at_its_start_is_not_started_again_at_once(
    supervise: Callable[..., Supervisor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "FAILED_START_S", 600.0)
    supervisor = supervise(ends_at_once)

    looked(supervisor, lambda: pid_of(supervisor) is None)
    supervisor.look()

    assert pid_of(supervisor) is None


def test_a_sweep_that_fails_waits_for_its_next_turn(
    supervise: Callable[..., Supervisor], sweep: Sweep, caplog: pytest.LogCaptureFixture
) -> None:
    supervisor = supervise(idle)

    supervisor.look()

    assert sweep.count == 1
    assert "sweep failed: LedgerUnavailable" in caplog.text


def test_stopping_ends_every_child(supervise: Callable[..., Supervisor]) -> None:
    supervisor = supervise(idle)
    process = supervisor._children[0].process

    supervisor.stop()

    assert process.exitcode == -signal.SIGTERM


ORPHANED = """
import os, signal, sys, time
from cds_service import worker
from cds_service.worker import Supervisor
from tests.unit.demo.test_supervisor import SETTINGS, serves

if __name__ == "__main__":
    worker.work = serves
    supervisor = Supervisor(SETTINGS, 1, lambda: 0)
    supervisor.look()
    print(supervisor._children[0].process.pid, flush=True)
    time.sleep(600)
"""


def serves(_: Settings, deadline: "Synchronized[float]") -> None:
    """Do what a worker does about its supervisor, and no jobs."""
    threading.Thread(target=worker._end_with_the_supervisor, daemon=True).start()
    time.sleep(600)


def test_a_worker_whose_supervisor_was_killed_ends(tmp_path: Path) -> None:
    script = tmp_path / "orphaned.py"
    script.write_text(ORPHANED)
    command = [sys.executable, str(script)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": str(REPOSITORY)}
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())

        parent.kill()

        until(lambda: is_gone(child))


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody reaped yet has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (SettingsInvalid("SIGHTLINE_DATA is not set."), "SIGHTLINE_DATA is not set."),
        (RuntimeError("patient Sampleton, Otto"), "RuntimeError"),
        (RedisGone("Sampleton"), "redis.exceptions.ConnectionError"),
    ],
)
def test_a_worker_that_cannot_work_says_so_in_one_line(
    error: Exception,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def cannot(*_: object) -> None:
        raise error

    monkeypatch.setattr(worker, "_do_jobs", cannot)
    monkeypatch.setattr(worker, "configure_logging", lambda _level: None)
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    with pytest.raises(SystemExit) as ended:
        worker.work(SETTINGS, None)  # type: ignore[arg-type]  no job, no deadline

    assert ended.value.code == 1
    assert said in caplog.text and "Sampleton" not in caplog.text
