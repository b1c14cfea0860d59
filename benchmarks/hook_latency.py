"""The hook with a known result, while the worker is busy with other patients' studies."""

import json
import math
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.ehr import KNOWN_PATIENT, Ehr, HookRequest
from benchmarks.figures import Figure, MeasurementFailed, percentile
from benchmarks.paced_requests import Answer
from benchmarks.running_demo import RunningDemo

RATE = 50.0  # calls per second
DURATION_S = 30.0
CALLS = int(RATE * DURATION_S)
WARM_UP_CALLS = 100  # not counted: each web process builds much at its first calls
STUDIES = 400  # made beforehand, to keep the worker busy
OPEN_JOBS = 2  # how many the worker has before it at any time
WATCH_S = 0.05
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
    patients = [ehr.add_patient() for _ in range(STUDIES)]
    # Signed last: a JWT lives for five minutes.
    waiting = [hook for patient in patients for hook in ehr.hook_requests(patient)]
    calls = ehr.hook_requests(KNOWN_PATIENT.id, WARM_UP_CALLS + CALLS)
    answers, busyness = _send_while_busy(demo, ehr, calls, waiting)
    counted = answers[WARM_UP_CALLS:]
    codes = Counter(answer.code for answer in counted)
    with_card = sum(answer.cards > 0 for answer in counted)
    # A call that brought no card counts as endless, so that an error cannot look fast.
    since_due = [answer.since_due_ms if answer.cards else math.inf for answer in counted]
    sent_p99 = percentile([answer.since_sent_ms for answer in counted], 0.99)
    conditions = (
        f"n {CALLS}, {RATE:g}/s for {DURATION_S:g} s over loopback, a connection and a JWT for"
        f" each, timed from the moment it was due, after {WARM_UP_CALLS} uncounted; worker busy"
        f" {busyness.share:.0%} of the time, {busyness.done} studies done meanwhile;"
        f" {with_card} brought a card, HTTP {dict(codes)};"
        f" max {max(since_due):.0f} ms; p99 from the moment of sending {sent_p99:.0f} ms"
    )
    return [
        Figure(f"hook: known result, {name}", percentile(since_due, share), "ms", goal, conditions)
        for name, (share, goal) in GOALS_MS.items()
    ]


def _send_while_busy(
    demo: RunningDemo, ehr: Ehr, calls: list[HookRequest], waiting: list[HookRequest]
) -> tuple[list[Answer], Busyness]:
    with tempfile.TemporaryDirectory() as folder:
        calls_file, answers_file = Path(folder) / "calls", Path(folder) / "answers"
        calls_file.write_text("\n".join(json.dumps(asdict(call)) for call in calls))
        command = [sys.executable, "-m", "benchmarks.paced_requests", str(calls_file), str(RATE)]
        with subprocess.Popen([*command, str(answers_file)]) as process:
            busyness = _keep_busy(demo, ehr, waiting, process)
        if process.returncode:
            raise MeasurementFailed("the process that sends the calls failed")
        lines = answers_file.read_text().splitlines()
    return [Answer(**json.loads(line)) for line in lines], busyness


def _keep_busy(
    demo: RunningDemo, ehr: Ehr, waiting: list[HookRequest], process: "subprocess.Popen[bytes]"
) -> Busyness:
    """Ask for new studies as long as the process runs, OPEN_JOBS at a time."""
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
    row = connection.execute("SELECT count(*) FROM job WHERE state = ?", [state]).fetchone()
    return int(row[0])
