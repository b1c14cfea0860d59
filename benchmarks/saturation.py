"""Processes that do one film after the other, all at once: images a second, and their memory.

Source: docs/reference/benchmarks.md "The imaging pipeline" (R0); proc_pid_status(5) (VmRSS, VmHWM).
"""

import multiprocessing
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path

from benchmarks.figures import MeasurementFailed
from benchmarks.films import film
from benchmarks.ways import ways
from models.contract import ModelPackage

START_TIMEOUT_S = 120.0
SLACK_S = 60.0  # beyond the seconds asked for


@dataclass(frozen=True, slots=True)
class Crew:
    """Worker processes that wait to be told what to do."""

    pipes: tuple[Connection, ...]

    def images_per_s(self, way: str, seconds: float) -> float:
        """Let all go the same way for so long; return what they did together."""
        return sum(count / took for count, took in self._told((way, seconds, 0), seconds))

    def run(self, way: str, images: int, timeout_s: float) -> None:
        """Let each do so many images."""
        self._told((way, 0.0, images), timeout_s)

    def memory_mb(self) -> tuple[float, float]:
        """Return the largest resident size now and the largest ever, of one process, 10^6 bytes."""
        sizes = self._told(None, 0.0)
        return max(now for now, _ in sizes), max(peak for _, peak in sizes)

    def _told(
        self, order: tuple[str, float, int] | None, seconds: float
    ) -> list[tuple[float, float]]:
        for pipe in self.pipes:
            pipe.send(order)
        return [_received(pipe, seconds + SLACK_S) for pipe in self.pipes]


@contextmanager
def crew(package: ModelPackage, *, workers: int, threads: int) -> Iterator[Crew]:
    """Start so many processes, each with its own sessions of so many threads."""
    context = multiprocessing.get_context("spawn")
    pipes: list[Connection] = []
    processes: list[SpawnProcess] = []
    try:
        for _ in range(workers):
            ours, theirs = context.Pipe()
            process = context.Process(target=_work, args=(theirs, package, threads), daemon=True)
            processes.append(process)
            process.start()
            pipes.append(ours)
        for pipe in pipes:
            _received(pipe, START_TIMEOUT_S)
        yield Crew(tuple(pipes))
    finally:
        for running in processes:
            running.terminate()
            running.join()


def _received(pipe: Connection, timeout_s: float) -> tuple[float, float]:
    if not pipe.poll(timeout_s):
        raise MeasurementFailed("a process did not answer")
    try:
        answer: tuple[float, float] = pipe.recv()
    except EOFError:
        raise MeasurementFailed("a process ended") from None
    return answer


def _work(pipe: Connection, package: ModelPackage, threads: int) -> None:
    """Be one process: answer each order with a count and the seconds, or with memory."""
    going = ways(film(), package, threads=threads)
    pipe.send((0.0, 0.0))
    while True:
        order = pipe.recv()
        if order is None:
            pipe.send((_megabytes("VmRSS"), _megabytes("VmHWM")))
            continue
        way, seconds, images = order
        done, started = 0, time.perf_counter()
        while done < images or time.perf_counter() - started < seconds:
            going[way]()
            done += 1
        pipe.send((float(done), time.perf_counter() - started))


def _megabytes(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0
