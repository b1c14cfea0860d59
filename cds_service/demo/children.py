"""Child processes: started in order, watched, restarted, and stopped in reverse order.

Each child has a session of its own, so that Ctrl-C reaches the demo alone and the demo decides
the order; its output goes to `logs/NAME.log` in the data folder.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cds_service.errors import SettingsInvalid

STOP_GRACE_S = 25.0
RESTARTS = 5  # in a row
HEALTHY_S = 60.0  # a child that ran so long has its restarts forgotten
Say = Callable[[str, str], None]  # name, what happened


@dataclass(slots=True)
class Child:
    """One supervised process."""

    name: str
    command: Sequence[str]
    log: Path
    env: Mapping[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None
    restarts: int = 0
    started_at: float = 0.0  # of the monotonic clock

    def start(self) -> None:
        """Start it; its log is appended to."""
        self.started_at = time.monotonic()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(  # noqa: S603  our own commands
                list(self.command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.env},
                start_new_session=True,
            )

    @property
    def is_running(self) -> bool:
        """Tell whether the process is there."""
        return self.process is not None and self.process.poll() is None


class Children:
    """The processes of one demo."""

    def __init__(self, logs: Path, say: Say) -> None:
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._logs = logs
        self._say = say
        self._children: list[Child] = []

    def start(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> Child:
        """Start a child that is watched from now on."""
        child = Child(name, command, self._logs / f"{name}.log", env)
        self._children.append(child)  # first, so that an interrupt in between stops it too
        child.start()
        return child

    def wait(self, child: Child, is_ready: Callable[[], bool], timeout_s: float) -> None:
        """Wait until the child is ready; raise SettingsInvalid with the end of its log if not."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if not child.is_running:
                raise SettingsInvalid(f"{child.name} did not start:\n{self._tail(child)}")
            if is_ready():
                return
            time.sleep(0.05)
        raise SettingsInvalid(
            f"{child.name} was not ready within {timeout_s:.0f} s:\n{self._tail(child)}"
        )

    def revive(self) -> None:
        """Restart what has died; raise SettingsInvalid when one keeps dying."""
        for child in self._children:
            if child.is_running:
                if time.monotonic() - child.started_at > HEALTHY_S:
                    child.restarts = 0
                continue
            if child.process is None:
                continue
            if child.restarts >= RESTARTS:
                raise SettingsInvalid(f"{child.name} keeps stopping:\n{self._tail(child)}")
            child.restarts += 1
            self._say(child.name, f"stopped with code {child.process.returncode}: restarting")
            child.start()

    def stop(self) -> None:
        """Stop every child, the last started first; kill what does not stop in time.

        Each has ended before the next is told: a worker whose Redis goes first logs an error.
        """
        deadline = time.monotonic() + STOP_GRACE_S
        for child in reversed(self._children):
            if child.process is None:
                continue
            child.process.terminate()
            try:
                child.process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                # Its session is its own, so this ends its children too and nobody else's.
                os.killpg(child.process.pid, signal.SIGKILL)
                child.process.wait()
        self._children.clear()

    def _tail(self, child: Child) -> str:
        lines = child.log.read_text(errors="replace").splitlines()[-15:]
        return "\n".join(f"  {line}" for line in lines) + f"\n(whole log: {child.log})"
