"""The demo's supervisor, with real child processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cds_service.demo import children as module
from cds_service.demo.children import RESTARTS, Child, Children
from cds_service.errors import SettingsInvalid

SLEEP = "import time; time.sleep(600)"
DEAF = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    "print('deaf', flush=True); time.sleep(600)"
)
WAIT_S = 120.0


class Said(list[tuple[str, str]]):
    def __call__(self, name: str, what: str) -> None:
        self.append((name, what))


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture
def children(tmp_path: Path, said: Said) -> Iterator[Children]:
    children = Children(tmp_path / "logs", said)
    yield children
    children.stop()


def python(code: str) -> list[str]:
    return [sys.executable, "-S", "-c", code]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def pid_of(child: Child) -> int:
    assert child.process is not None
    return child.process.pid


def test_a_dead_child_is_restarted_and_named(children: Children, said: Said) -> None:
    child = children.start("worker", python(SLEEP), {})
    first = pid_of(child)
    os.kill(first, signal.SIGKILL)
    until(lambda: not child.is_running)

    children.revive()

    assert child.is_running and pid_of(child) != first
    assert said == [("worker", "stopped with code -9: restarting")]


def test_a_child_that_runs_is_left_alone(children: Children, said: Said) -> None:
    child = children.start("worker", python(SLEEP), {})
    first = pid_of(child)

    children.revive()

    assert pid_of(child) == first and said == []


def test_one_that_keeps_dying_ends_with_the_end_of_its_log(children: Children) -> None:
    child = children.start("service", python("raise SystemExit('no such module')"), {})
    for _ in range(RESTARTS):
        until(lambda: not child.is_running)
        children.revive()
    until(lambda: not child.is_running)

    with pytest.raises(SettingsInvalid) as ended:
        children.revive()

    assert str(ended.value).startswith("service keeps stopping:")
    assert "no such module" in str(ended.value)
    assert str(child.log) in str(ended.value)


def test_a_child_that_ran_for_long_has_its_restarts_forgotten(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = children.start("worker", python(SLEEP), {})
    child.restarts = RESTARTS

    children.revive()
    assert child.restarts == RESTARTS
    monkeypatch.setattr(module, "HEALTHY_S", 0.0)
    children.revive()

    assert child.restarts == 0


def test_waiting_ends_when_the_child_is_ready(children: Children) -> None:
    child = children.start("redis", python(f"print('up', flush=True); {SLEEP}"), {})

    children.wait(child, lambda: "up" in child.log.read_text(), WAIT_S)

    assert child.is_running


def test_a_child_that_ends_before_it_is_ready_shows_its_log(children: Children) -> None:
    child = children.start("redis", python("raise SystemExit('bad option')"), {})

    with pytest.raises(SettingsInvalid, match=r"redis did not start:\n +bad option"):
        children.wait(child, lambda: False, WAIT_S)


def test_a_child_that_is_never_ready_is_reported(children: Children) -> None:
    child = children.start("redis", python(SLEEP), {})

    with pytest.raises(SettingsInvalid, match="redis was not ready within 0 s"):
        children.wait(child, lambda: False, 0.1)


def test_a_child_sees_its_own_environment_too(children: Children) -> None:
    code = f"import os; print(os.environ['GREETING'], 'PATH' in os.environ, flush=True); {SLEEP}"
    child = children.start("service", python(code), {"GREETING": "hello"})

    children.wait(child, lambda: "hello True" in child.log.read_text(), WAIT_S)


def test_stopping_goes_from_the_last_started_to_the_first(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = [children.start(name, python(SLEEP), {}) for name in ("redis", "worker", "service")]
    terminated: list[int] = []
    terminate = subprocess.Popen.terminate

    def noting(process: "subprocess.Popen[bytes]") -> None:
        assert all(is_gone(pid) for pid in terminated)
        terminated.append(process.pid)
        terminate(process)

    monkeypatch.setattr(subprocess.Popen, "terminate", noting)

    children.stop()

    assert terminated == [pid_of(child) for child in reversed(started)]
    assert not any(child.is_running for child in started)


def test_what_ignores_sigterm_is_killed_with_its_own_children(
    children: Children, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "STOP_GRACE_S", 0.2)
    code = (
        "import subprocess, sys; "
        f"inner = subprocess.Popen([sys.executable, '-S', '-c', {DEAF!r}]); "
        f"print('pid', inner.pid, flush=True); {DEAF}"
    )
    child = children.start("service", python(code), {})
    children.wait(child, lambda: child.log.read_text().count("deaf") == 2, WAIT_S)
    lines = child.log.read_text().splitlines()
    inner = int(next(line.split()[1] for line in lines if line.startswith("pid")))

    children.stop()

    assert child.process is not None and child.process.returncode == -signal.SIGKILL
    until(lambda: is_gone(inner))


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody reaped yet has."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_stopping_twice_is_harmless(children: Children) -> None:
    children.start("redis", python(SLEEP), {})
    children.stop()

    children.stop()
