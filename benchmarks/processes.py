"""The processes of a running demo, found by what its children were started with.

Source: proc(5), `/proc/PID/stat` (the fourth field is the parent).
"""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import MeasurementFailed


def tree(parent: int, mark: str) -> list[int]:
    """Return the child of `parent` whose command line has `mark`, and all that descends from it."""
    parents = _parents()
    for child in (pid for pid, its_parent in parents.items() if its_parent == parent):
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
