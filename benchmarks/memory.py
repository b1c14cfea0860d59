"""Memory of the service and the worker: PSS, which counts a shared page once, and RSS.

Source: proc_pid_smaps_rollup(5) (Pss: each page divided by the number of processes that map it).
"""

import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, MeasurementFailed

SETTLE_S = 5.0
GOAL_MB = 600.0
PARTS = {"service": "gunicorn", "worker": "cds_service.cli\0worker"}  # in the command line


def idle_memory(demo_pid: int, when: str) -> Figure:
    """Measure after SETTLE_S without work; megabytes of 10^6 bytes."""
    time.sleep(SETTLE_S)
    parents = _parents()
    pss, said = 0.0, []
    for name, mark in PARTS.items():
        tree = _tree(demo_pid, mark, parents)
        part = {field: sum(_megabytes(pid, field) for pid in tree) for field in ("Pss", "Rss")}
        pss += part["Pss"]
        said.append(
            f"{name} {len(tree)} processes, PSS {part['Pss']:.0f} MB, RSS {part['Rss']:.0f} MB"
        )
    return Figure(
        f"memory: service + worker, idle {when} (PSS)",
        pss,
        "MB",
        GOAL_MB,
        f"n 1, after {SETTLE_S:g} s without work: {'; '.join(said)}; without Redis and sandbox",
    )


def _tree(demo_pid: int, mark: str, parents: dict[int, int]) -> list[int]:
    """Return the demo's child whose command line has `mark`, and all that descends from it."""
    for child in (pid for pid, parent in parents.items() if parent == demo_pid):
        if mark in Path(f"/proc/{child}/cmdline").read_text():
            return [child, *_descendants(child, parents)]
    raise MeasurementFailed(f"the demo has no child process {mark!r}")


def _descendants(pid: int, parents: dict[int, int]) -> Iterator[int]:
    for child in (child for child, parent in parents.items() if parent == pid):
        yield child
        yield from _descendants(child, parents)


def _parents() -> dict[int, int]:
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            stat = (folder / "stat").read_text()
        except OSError:
            continue  # it ended while we looked
        found[int(folder.name)] = int(stat.rpartition(")")[2].split()[1])
    return found


def _megabytes(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
