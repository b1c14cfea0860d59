"""How many worker processes, of how many threads, on what: measured once, or as the site says.

The measurement takes a second or two in a process of its own, so that the supervisor stays small,
and is kept in the data folder until the machine, the model or a library changes.

Source: issue "Imaging pipeline", point 8.
"""

import json
import multiprocessing
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from importlib.metadata import distributions
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from cds_service.settings import FASTEST, Settings
from cds_service.worker_machine import control_groups, usable_cores

FILE = "worker-plan.json"  # in the data folder
CPU = "CPUExecutionProvider"  # of ONNX Runtime: always there
BUDGET_S = 1.2  # of measuring; a process and its libraries take half a second more
TIMEOUT_S = 60.0  # of a machine that is busy with something else
WORKER_MB = 700  # what one worker may need
ALIKE = 0.95  # of the best rate: then fewer processes, which need less memory

Row = dict[str, Any]  # workers, threads, provider, images_per_s: adapters/probe.py


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """What the supervisor starts, and why."""

    processes: int
    threads: int
    provider: str  # of ONNX Runtime
    why: str

    def __str__(self) -> str:
        each = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        count = f"{self.processes} worker{'s' if self.processes > 1 else ''}"
        return f"{count} x {each} on {self.provider}: {self.why}"


def plan_of(settings: Settings, measure: Callable[[], Sequence[Row]], memory_mb: int) -> WorkerPlan:
    """Choose what the settings leave open by what was measured.

    measure    called only when the number of workers is open; a given number has one thread each
               unless the settings say otherwise
    memory_mb  what is free for workers
    """
    if settings.workers:
        threads = settings.worker_threads or 1
        return WorkerPlan(settings.workers, threads, provider_of(settings), "as set")
    rows = [
        row
        for row in measure()
        if settings.worker_threads in {0, row["threads"]}
        and settings.execution_provider in {FASTEST, row["provider"]}
    ]
    if not rows:
        fallback = (settings.worker_threads or 1, provider_of(settings))
        return WorkerPlan(1, *fallback, "nothing fitting was measured")
    best = max(row["images_per_s"] for row in rows)
    chosen = min(
        (row for row in rows if row["images_per_s"] >= ALIKE * best), key=lambda row: row["workers"]
    )
    seen = ", ".join(
        f"{row['workers']} x {row['threads']} {row['provider']} {row['images_per_s']:.0f}"
        for row in rows
    )
    plan = WorkerPlan(
        chosen["workers"], chosen["threads"], chosen["provider"], f"images/s measured: {seen}"
    )
    affordable = max(1, memory_mb // WORKER_MB)
    if plan.processes > affordable:
        short = f"{plan.why}; memory for {affordable} only ({memory_mb} MB free)"
        return replace(plan, processes=affordable, why=short)
    return plan


def settled(settings: Settings, plan: WorkerPlan) -> Settings:
    """Return the settings with the plan in them, for the worker processes."""
    return replace(
        settings,
        workers=plan.processes,
        worker_threads=plan.threads,
        execution_provider=plan.provider,
    )


def provider_of(settings: Settings) -> str:
    """Return the provider that is set; the processor where that is left to a measurement."""
    return CPU if settings.execution_provider == FASTEST else settings.execution_provider


def measured_once(
    folder: Path, model_digest: str, probe: Callable[[int], Sequence[Row]]
) -> list[Row]:
    """Return what was measured here with this model, from the file or from a probe now."""
    key, file = _key(model_digest), folder / FILE
    try:
        kept = json.loads(file.read_text())
        if kept["key"] == key:
            return list(kept["rows"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # never measured, or by a version that wrote it differently
    rows = list(probe(usable_cores(control_groups())))
    if rows:
        new = file.with_suffix(".new")
        new.write_text(json.dumps({"key": key, "rows": rows}, indent=1))
        new.replace(file)
    return rows


def probe_apart(settings: Settings, cores: int) -> list[Row]:
    """Measure in a process of its own; what it said before it ended or hung is the answer."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_probe, args=(theirs, settings, cores), daemon=True)
    process.start()
    theirs.close()
    rows: list[Row] = []
    try:
        while ours.poll(TIMEOUT_S):
            rows.append(ours.recv())
    except EOFError:
        pass
    finally:
        process.kill()
        process.join()
    return rows


def _probe(pipe: Connection, settings: Settings, cores: int) -> None:
    from cds_service.wiring import probe  # in the child only: heavy libraries

    for row in probe(settings, cores, BUDGET_S):
        pipe.send(asdict(row))


def _key(model_digest: str) -> str:
    """Name what the figures depend on."""
    cpu = next(
        (
            line
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    # One for each provider: onnxruntime, onnxruntime-openvino, ...
    names = ((one.metadata["Name"] or "", one.version) for one in distributions())
    runtimes = sorted(" ".join(one) for one in names if one[0].startswith("onnxruntime"))
    parts = (model_digest, cpu, str(usable_cores(control_groups())), *runtimes)
    return sha256("\n".join(parts).encode()).hexdigest()
