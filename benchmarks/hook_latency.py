"""The hook with a known result, while the worker is busy with other patients' studies."""

import json
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.ehr import KNOWN_PATIENT, Ehr
from benchmarks.figures import Figure, MeasurementFailed, percentile
from benchmarks.running_demo import RunningDemo

RATE = 50.0  # calls per second
DURATION_S = 30.0
CALLS = int(RATE * DURATION_S)
STUDIES = 150  # made beforehand, to keep the worker busy
OPEN_JOBS = 3  # how many the worker has before it at any time
WATCH_S = 0.1
GOALS_MS = {"p50": (0.5, 15.0), "p99": (0.99, 50.0)}


@dataclass(slots=True)
class Busyness:
    """How busy the worker was, by looking at the ledger every WATCH_S."""

    looks: list[int] = field(default_factory=list)  # open jobs at each look
    done: int = 0

    @property
    def share(self) -> float:
        """The share of looks, 0..1, at which the worker had a job."""
        return sum(open_jobs > 0 for open_jobs in self.looks) / len(self.looks)


def hook_latency(demo: RunningDemo, ehr: Ehr) -> list[Figure]:
    """Measure CALLS hooks at RATE, every one signed beforehand with a JWT of its own."""
    waiting = [ehr.hook_requests(ehr.add_patient())[0] for _ in range(STUDIES)]
    calls = ehr.hook_requests(KNOWN_PATIENT.id, CALLS)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "calls.jsonl"
        file.write_text("".join(json.dumps(asdict(call)) + "\n" for call in calls))
        command = [sys.executable, "-m", "benchmarks.paced_requests", str(file), str(RATE)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            busyness = _keep_busy(demo, ehr, waiting, process)
            answers: dict[str, Any] = json.loads(process.stdout.read() if process.stdout else b"")
    if answers["codes"] != {"200": CALLS} or answers["with_card"] != CALLS:
        raise MeasurementFailed(
            f"of {CALLS} calls: {answers['codes']}, {answers['with_card']} with a card"
        )
    conditions = (
        f"n {CALLS}, {RATE:g}/s for {DURATION_S:g} s over loopback, a connection and a JWT for"
        f" each, timed from the moment it was due; worker busy {busyness.share:.0%} of the time,"
        f" {busyness.done} studies done meanwhile; max {max(answers['milliseconds']):.0f} ms"
    )
    return [
        Figure(
            f"hook: known result, {name}",
            percentile(answers["milliseconds"], share),
            "ms",
            goal,
            conditions,
        )
        for name, (share, goal) in GOALS_MS.items()
    ]


def _keep_busy(
    demo: RunningDemo, ehr: Ehr, waiting: list[Any], process: "subprocess.Popen[bytes]"
) -> Busyness:
    busyness = Busyness()
    ledger = f"file:{demo.data / 'ledger.sqlite'}?mode=ro"
    with closing(sqlite3.connect(ledger, uri=True)) as connection:
        before = _jobs(connection, "done")
        while process.poll() is None:
            open_jobs = _jobs(connection, "open")
            busyness.looks.append(open_jobs)
            for _ in range(min(OPEN_JOBS - open_jobs, len(waiting))):
                ehr.send(waiting.pop())
            time.sleep(WATCH_S)
        busyness.done = _jobs(connection, "done") - before
    return busyness


def _jobs(connection: sqlite3.Connection, state: str) -> int:
    return int(
        connection.execute("SELECT count(*) FROM job WHERE state = ?", [state]).fetchone()[0]
    )
