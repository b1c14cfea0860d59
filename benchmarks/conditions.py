"""What a figure depends on and a reader must know: machine, versions, load."""

import os
import platform
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("onnxruntime", "numpy", "pydicom", "flask", "gunicorn", "rq", "redis", "sqlalchemy")


def conditions() -> Iterator[str]:
    """Yield one line per condition."""
    cores = len(os.sched_getaffinity(0))
    yield f"date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    yield f"machine: {_cpu()}, {cores} of {os.cpu_count()} cores, {_memory_gib():.1f} GiB"
    yield f"system: {platform.system()} {platform.release()}, {platform.machine()}"
    yield f"python: {platform.python_implementation()} {platform.python_version()}"
    yield "libraries: " + ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    yield f"load: {load()}; niceness {os.nice(0)}"


def load() -> str:
    """Return the load averages over 1, 5 and 15 minutes."""
    return " ".join(f"{average:.2f}" for average in os.getloadavg())


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or "unknown CPU"


def _memory_gib() -> float:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
