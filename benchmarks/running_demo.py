"""`sightline demo` as a subprocess on free ports, with its data in a temporary folder."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, MeasurementFailed
from cds_service.settings import Settings

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
START_GOAL_S = 15.0


@dataclass(frozen=True, slots=True)
class RunningDemo:
    """A demo that has printed `ready:`; the addresses are those of its state file."""

    pid: int
    ready_after_s: float
    chart: str  # no trailing slash, as the others
    service: str
    fhir: str
    archive: str
    data: Path

    def settings(self) -> Settings:
        """Return the settings that open its ledger and its keys from here."""
        return Settings.from_env(
            {
                "SIGHTLINE_PUBLIC_URL": self.service,
                "SIGHTLINE_DATA": str(self.data),
                "SIGHTLINE_REDIS_URL": "redis://nobody.invalid",  # nothing here rings
            }
        )

    def start_time(self) -> Figure:
        """Return how long the start took, until `ready:` was on the terminal."""
        return Figure(
            "start: `sightline demo` to `ready:`",
            self.ready_after_s,
            "s",
            START_GOAL_S,
            "n 1, new data folder: keys, ledger, record and archive are made, studies analysed",
        )


@contextmanager
def running_demo() -> Iterator[RunningDemo]:
    """Start a demo and stop it in the end as Ctrl-C does; raise MeasurementFailed."""
    with tempfile.TemporaryDirectory(prefix="sightline-bench-") as folder:
        home = Path(folder)
        state, output = home / "state.json", home / "output.txt"
        command = [sys.executable, "-m", "cds_service.cli", "demo"]
        command += ["--port", str(free_port()), "--data", str(home / "data")]
        with output.open("wb") as sink:
            process = subprocess.Popen(
                [*command, "--state", str(state)],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, "NO_BROWSER": "1", "PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C here reaches the demo once, through us
            )
        try:
            seconds = _wait(process, output)
            yield _read(process.pid, seconds, state)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(STOP_TIMEOUT_S)


def _wait(process: "subprocess.Popen[bytes]", output: Path) -> float:
    started = time.monotonic()
    while (seconds := time.monotonic() - started) < START_TIMEOUT_S:
        text = output.read_text()
        if "\nready: " in f"\n{text}":
            return seconds
        if process.poll() is not None:
            raise MeasurementFailed(f"the demo ended with code {process.returncode}:\n{text}")
        time.sleep(0.02)
    raise MeasurementFailed(f"the demo was not ready in {START_TIMEOUT_S:.0f} s:\n{text}")


def _read(pid: int, seconds: float, state: Path) -> RunningDemo:
    deadline = time.monotonic() + 5
    while not state.exists() and time.monotonic() < deadline:  # written after the lines
        time.sleep(0.02)
    facts = json.loads(state.read_text())
    names = ("chart", "service", "fhir", "archive")
    addresses = {name: facts[name].rstrip("/") for name in names}
    return RunningDemo(pid=pid, ready_after_s=seconds, data=Path(facts["data"]), **addresses)


def free_port() -> int:
    """Return a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
