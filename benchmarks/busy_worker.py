"""Keep every worker busy: with studies, or with a stand-in while Redis cannot ring for one.

`python -m benchmarks.busy_worker` is the stand-in: it decodes one image and runs the model on it,
over and over, at a worker's niceness, until its parent ends it or is gone.
"""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from benchmarks.ehr import KNOWN_PATIENT, Ehr
from benchmarks.figures import MeasurementFailed
from benchmarks.running_demo import RunningDemo
from cds_service.adapters.model_shelf import ModelShelf
from cds_service.adapters.pixels import DicomReader
from cds_service.adapters.runtime import OnnxClassifier
from cds_service.sandbox.radiographs import Pictures, instances
from cds_service.sandbox.seed import PICTURES
from cds_service.worker import WORKER_NICENESS

OPEN_JOBS = 2  # how many the worker has before it at any time
WATCH_S = 0.05
MODEL = "cxr_pneumonia_peds"


@dataclass(slots=True)
class Busyness:
    """How busy the worker was, by looking at the ledger every WATCH_S."""

    looks: list[int] = field(default_factory=list)  # open jobs at each look
    done: int = 0

    def __str__(self) -> str:
        return f"{self.share:.0%}, {self.done} done"

    @property
    def share(self) -> float:
        """The share of looks, 0..1, at which the worker had a job."""
        return sum(open_jobs > 0 for open_jobs in self.looks) / max(1, len(self.looks))


def keep_busy(
    demo: RunningDemo, ehr: Ehr, patients: list[str], process: "subprocess.Popen[bytes]"
) -> Busyness:
    """Ask for these patients' studies as long as the process runs, OPEN_JOBS at a time.

    A patient who was asked for is taken out of `patients`.
    """
    busyness = Busyness()
    ledger = f"file:{demo.data / 'ledger.sqlite'}?mode=ro"
    with closing(sqlite3.connect(ledger, uri=True)) as connection:
        before = _jobs(connection, "done")
        while process.poll() is None:
            open_jobs = _jobs(connection, "open")
            busyness.looks.append(open_jobs)
            for _ in range(min(OPEN_JOBS - open_jobs, len(patients))):
                [hook] = ehr.hook_requests(patients.pop())
                ehr.send(hook)
            time.sleep(WATCH_S)
        busyness.done = _jobs(connection, "done") - before
    return busyness


def _jobs(connection: sqlite3.Connection, state: str) -> int:
    row = connection.execute("SELECT count(*) FROM job WHERE state = ?", [state]).fetchone()
    return int(row[0])


@contextmanager
def stand_in() -> Iterator[None]:
    """Run the stand-in for the demo's one worker process."""
    command = [sys.executable, "-m", "benchmarks.busy_worker"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None or not process.stdout.readline():  # it says when it begins
                raise MeasurementFailed("the stand-in for the worker did not start")
            yield
        finally:
            process.terminate()


def main() -> None:
    """Do a worker's computing without its jobs."""
    os.nice(WORKER_NICENESS)
    parent = os.getppid()
    study, today = KNOWN_PATIENT.studies[0], datetime.now(UTC).date()
    [image] = instances(KNOWN_PATIENT, study, Pictures.in_folder(PICTURES), today)
    reader, classifier = DicomReader(), OnnxClassifier(ModelShelf(None, MODEL).package(MODEL))
    classifier.warm_up()
    print("busy", flush=True)
    while os.getppid() == parent:
        classifier.classify(reader.pixels(image))


if __name__ == "__main__":
    main()
