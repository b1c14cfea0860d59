"""`sightline demo` as somebody runs it: one process, its addresses in a state file."""

import json
import os
import re
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from cds_service.demo import redis_binary
from cds_service.errors import SettingsInvalid
from tests.real.servers import Child, free_port, require

STOP_S = 120.0
WAIT_S = 180.0
TAIL = 40  # lines of each log that a failed test shows
T = TypeVar("T")
KEYS = {"ready", "chart", "service", "fhir", "archive", "app", "jwks", "data"}


@dataclass
class Demo:
    """A running demo in `folder`; its data, its output and its state file lie there."""

    folder: Path
    port: int = field(default_factory=lambda: free_port(3))  # its neighbours take the next two
    child: Child = field(init=False)
    addresses: dict[str, str] = field(init=False)

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    @property
    def output(self) -> str:
        """Everything that the terminal shows."""
        return self.child.log.read_text()

    def last_words(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the end of each log that there is."""
        for log in (self.child.log, *sorted(self.data.glob("logs/*.log"))):
            lines = log.read_text(errors="replace").splitlines()[-TAIL:]
            yield log.name, "\n".join(lines)

    @property
    def chart(self) -> str:
        """The origin of the EHR's pages, without a trailing slash."""
        return self.addresses["chart"].rstrip("/")

    def start(self) -> None:
        """Start, or start again on the same data, and wait until all is ready."""
        command = [sys.executable, "-m", "cds_service.cli", "demo", "--port", str(self.port)]
        command += ["--data", str(self.data), "--state", str(self.state)]
        self.child = Child(command, self.folder / "output.txt", {"NO_BROWSER": "1"})
        try:
            self.child.wait_until(self._is_ready)
        except AssertionError as error:
            for name, end in self.last_words():
                error.add_note(f"--- {name}\n{end}")
            raise

    def _is_ready(self) -> bool:
        """Read the state file whenever it is there: a half-written one fails the test."""
        try:
            text = self.state.read_text()
        except FileNotFoundError:
            return False
        self.addresses = json.loads(text)
        return True

    def interrupt(self) -> int:
        """Press Ctrl-C; return the exit code once the demo has ended."""
        self.child.process.send_signal(signal.SIGINT)
        return self.child.process.wait(STOP_S)

    def pids(self) -> set[int]:
        """Return the demo's process and all that descend from it."""
        return family(self.child.process.pid)

    @contextmanager
    def with_the_worker_held(self) -> Iterator[None]:
        """Stop the worker's processes where they are, and let them go on at the end."""
        [worker] = [
            pid for pid in self.pids() if arguments(pid)[-3:-1] == ["worker", "--processes"]
        ]
        until(lambda: self._holds_between_writes(worker))
        try:
            yield
        finally:
            os.killpg(worker, signal.SIGCONT)

    def _holds_between_writes(self, worker: int) -> bool:
        """Stop the worker's group; let it go on if it has the ledger's write lock just now."""
        os.killpg(worker, signal.SIGSTOP)  # the demo gave it a group of its own
        with closing(sqlite3.connect(self.data / "ledger.sqlite", timeout=1.0)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE").close()
            except sqlite3.OperationalError:
                os.killpg(worker, signal.SIGCONT)
                return False
            connection.rollback()
        return True

    def ledger(self, query: str, *values: str) -> list[tuple[Any, ...]]:
        """Ask the ledger without changing it."""
        address = f"file:{self.data / 'ledger.sqlite'}?mode=ro"
        with closing(sqlite3.connect(address, uri=True)) as connection:
            return connection.execute(query, values).fetchall()


@contextmanager
def running_demo(folder: Path) -> Iterator[Demo]:
    """Start a demo and press Ctrl-C at the end."""
    try:
        redis_binary.find()
    except SettingsInvalid as error:
        require("Redis", False, str(error))
    demo = Demo(folder)
    demo.start()
    try:
        yield demo
    finally:
        if demo.child.process.poll() is None:
            demo.interrupt()


def until(condition: Callable[[], T | None]) -> T:
    """Return the first truthy answer."""
    deadline = time.monotonic() + WAIT_S
    while not (answer := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.2)
    return answer


def family(pid: int) -> set[int]:
    """Return a process and all that descend from it."""
    found, parents = {pid}, dict(_parents())
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and was not reaped does not."""
    return pid in dict(_parents())


def _parents() -> Iterator[tuple[int, int]]:
    """Yield each living process with its parent (proc(5))."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                status = (entry / "status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if not re.search(r"^State:\s+Z", status, re.MULTILINE):
                [parent] = re.findall(r"^PPid:\s+(\d+)", status, re.MULTILINE)
                yield int(entry.name), int(parent)


def arguments(pid: int) -> list[str]:
    """Return what a process was started with; nothing when it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().rstrip("\0").split("\0")
    except (FileNotFoundError, ProcessLookupError):
        return []
