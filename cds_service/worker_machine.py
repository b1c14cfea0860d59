"""What this machine, or the container that we run in, lets workers use: cores and memory.

Source: Linux "Control Group v2" (memory.max, cpu.max: a limit holds for all groups below it).
"""

import os
from collections.abc import Iterable
from math import ceil
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_OWN = Path("/proc/self/cgroup")


def usable_cores(groups: Iterable[Path]) -> int:
    """Return how many cores this process may keep busy, at least 1; `groups` as below."""
    cores = len(os.sched_getaffinity(0))
    for group in groups:
        quota, _, period = _text(group / "cpu.max").strip().partition(" ")
        if quota.isdecimal() and period.isdecimal():
            cores = min(cores, ceil(int(quota) / int(period)))
    return max(1, cores)


def free_memory_mb(groups: Iterable[Path]) -> int:
    """Return what is available and allowed, in 10^6 bytes; `groups` as below."""
    free = [
        int(line.split()[1]) * 1024
        for line in _text(Path("/proc/meminfo")).splitlines()
        if line.startswith("MemAvailable:")
    ]
    for group in groups:
        limit, used = (_text(group / name).strip() for name in ("memory.max", "memory.current"))
        if limit.isdecimal() and used.isdecimal():
            free.append(max(0, int(limit) - int(used)))
    return min(free, default=0) // 10**6


def control_groups(root: Path = _ROOT, own: Path = _OWN) -> list[Path]:
    """Return the control group of this process and those around it; none without cgroup v2."""
    path = next((one[3:] for one in _text(own).splitlines() if one.startswith("0::")), None)
    if path is None or not (root / "cgroup.controllers").exists():
        return []
    inside = Path(path.lstrip("/"))
    return [root / part for part in (inside, *inside.parents)]


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
