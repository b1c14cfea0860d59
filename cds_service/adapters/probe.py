"""Measure how a model runs best on this machine: workers, threads, execution provider.

A provider that needs another machine is never tried, and one whose answers differ from the
processor's is left out: thresholds were set with those answers.

Source: onnxruntime 1.32 `get_available_providers`, `InferenceSession`.
"""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from cds_service.adapters.runtime import new_session
from cds_service.errors import InferenceFailed
from models.contract import ModelPackage

CPU = "CPUExecutionProvider"
REMOTE = frozenset({"AzureExecutionProvider"})  # sends images away
SECONDS = 0.25  # of each combination
SESSIONS_AT_MOST = 8  # of more than one thread, side by side
LARGEST_DIFFERENCE = 1e-3  # of a score, from the processor's

_Tensor = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Pace:
    """Images a second of so many workers, each with so many threads."""

    workers: int
    threads: int
    provider: str
    images_per_s: float


def measured(package: ModelPackage, cores: int, budget_s: float) -> Iterator[Pace]:
    """Measure the combinations for so many cores on each provider; yield each.

    budget_s   of each provider; its first combination, a worker with one thread for each core, is
               always measured
    Raises InferenceFailed when the model cannot be run at all.
    """
    recipe = package.card.input
    shape = (1, recipe.channels, recipe.size, recipe.size)
    if recipe.layout == "NHWC":
        shape = (1, recipe.size, recipe.size, recipe.channels)
    tensor = np.random.default_rng(1).random(shape, dtype=np.float32)
    expected = _answer(package, new_session(package.weights), tensor)
    for provider in _providers():
        until = time.monotonic() + budget_s
        for workers, threads in combinations(cores):
            try:
                sessions = _sessions(package, workers, threads, provider)
                if not np.allclose(
                    _answer(package, sessions[0], tensor), expected, atol=LARGEST_DIFFERENCE
                ):
                    break
                rate = _rate(package, sessions, workers, tensor)
            except InferenceFailed:
                if provider == CPU:
                    raise
                break  # installed, but not for this machine or this model
            yield Pace(workers, threads, provider, rate)
            if time.monotonic() > until:
                break


def combinations(cores: int) -> list[tuple[int, int]]:
    """Return the workers x threads to try: one thread each first, then fewer workers."""
    tried = [(cores, 1)]
    if 4 <= cores <= 2 * SESSIONS_AT_MOST:
        tried.append((cores // 2, 2))
    if cores > 1:
        tried.append((1, cores))
    return tried


def _providers() -> list[str]:
    others = [one for one in ort.get_available_providers() if one not in {CPU, *REMOTE}]
    return [CPU, *others]


def _sessions(
    package: ModelPackage, workers: int, threads: int, provider: str
) -> list[ort.InferenceSession]:
    """Make one for each worker; workers of one thread share it, for they need no pool of theirs."""
    count = 1 if threads == 1 else workers
    return [new_session(package.weights, threads=threads, provider=provider) for _ in range(count)]


def _rate(
    package: ModelPackage, sessions: list[ort.InferenceSession], workers: int, tensor: _Tensor
) -> float:
    """Return images a second of so many threads of ours, each as busy as a worker."""
    counts = [0] * workers
    started = time.perf_counter()

    def work(number: int) -> None:
        session = sessions[number % len(sessions)]
        while time.perf_counter() - started < SECONDS:
            _answer(package, session, tensor)
            counts[number] += 1

    hands = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for hand in hands:
        hand.start()
    for hand in hands:
        hand.join()
    return sum(counts) / (time.perf_counter() - started)


def _answer(package: ModelPackage, session: ort.InferenceSession, tensor: _Tensor) -> _Tensor:
    card = package.card
    try:
        answer: _Tensor = session.run([card.output.scores], {card.input.name: tensor})[0]
    except Exception as error:  # onnxruntime has one class for each of its failure kinds
        raise InferenceFailed("The model could not be run.") from error
    return answer
