"""Memory of the service and the worker: PSS, which counts a shared page once, and RSS.

Source: proc_pid_smaps_rollup(5) (Pss: each page divided by the number of processes that map it).
"""

import time
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.processes import tree

SETTLE_S = 5.0
GOAL_MB = 600.0
PARTS = {"service": "gunicorn", "worker": "cds_service.cli\0worker"}  # in the command line


def idle_memory(demo_pid: int, when: str) -> Figure:
    """Measure after SETTLE_S without work; megabytes of 10^6 bytes."""
    time.sleep(SETTLE_S)
    pss, said = 0.0, []
    for name, mark in PARTS.items():
        pids = tree(demo_pid, mark)
        part = {field: sum(_megabytes(pid, field) for pid in pids) for field in ("Pss", "Rss")}
        pss += part["Pss"]
        said.append(
            f"{name} {len(pids)} processes, PSS {part['Pss']:.0f} MB, RSS {part['Rss']:.0f} MB"
        )
    return Figure(
        f"memory: service + worker, idle {when} (PSS)",
        pss,
        "MB",
        GOAL_MB,
        f"n 1, after {SETTLE_S:g} s without work: {'; '.join(said)}; without Redis and sandbox",
    )


def _megabytes(pid: int, field: str) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
