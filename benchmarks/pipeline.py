"""The imaging pipeline against its limits: the bare run, the least honest work, MONAI Deploy.

R0 is the images a second of a bare `session.run`, R1 of the least honest work around it. What is
compared runs by turns in the same minutes; the clock runs from bytes in memory to the finding.

Source: docs/reference/benchmarks.md "The imaging pipeline".
"""

import statistics
import time
from collections.abc import Generator, Iterator, Sequence

from pydicom.uid import UID, ExplicitVRLittleEndian

from benchmarks.conditions import load
from benchmarks.densenet import densenet_121
from benchmarks.figures import Figure, MeasurementFailed, percentile
from benchmarks.films import SYNTAXES, film
from benchmarks.monai import VERSION, MonaiTimes, monai_times
from benchmarks.saturation import Crew, crew
from benchmarks.scale import scale
from benchmarks.ways import BARE, LEAST, OURS, WAYS, Ways, timed, ways
from cds_service.adapters.model_shelf import ModelShelf
from cds_service.domain.finding import Analysis
from cds_service.domain.instance_digest import instance_digest
from models.contract import ModelPackage

IMAGES = 40  # of each way, one stream, uncompressed
IMAGES_OF_A_SYNTAX = 10
ROUNDS = 3
IMAGES_OF_MONAI = 12  # a round
SECONDS = 5.0  # to choose workers x threads
TURNS, TURN_S = 12, 1.5  # of each way at saturation
SHORT = 200  # studies of the memory figure; the whole one has 2000
SETTINGS = ((1, 1), (1, 2), (2, 1))  # workers x threads
SCALE = (1, 2, 4)
BUNDLED = "cxr_pneumonia_peds"
STREAM_GOAL, SATURATION_GOAL, MEMORY_GOAL_MB, GROWTH_GOAL_MB = 1.25, 0.90, 700.0, 20.0

Times = dict[str, list[float]]  # milliseconds, by way


def pipeline(studies: int = SHORT) -> Iterator[Figure | str]:
    """Yield every figure of the pipeline; `studies` are those of the memory figure."""
    package = densenet_121()
    yield from _one_stream(package)
    for model in (package, ModelShelf(None, BUNDLED).package(BUNDLED)):
        yield from _by_syntax(model)
    workers, threads = yield from _saturation(package)
    yield from _scale(package)
    yield from _memory(package, studies)
    try:
        yield from scale()
    except MeasurementFailed as error:
        yield f"not measured: {error}"
    yield f"best at saturation: {workers} x {threads} threads; load {load()}"


def _one_stream(package: ModelPackage) -> Iterator[Figure | str]:
    """Compare the ways and MONAI Deploy image by image and round by round, one thread each."""
    image = film()
    going = ways(image, package, threads=1)
    times: Times = {way: [] for way in WAYS}
    theirs, missing = MonaiTimes([], []), ""
    for _ in range(ROUNDS):
        _by_turns(going, times, IMAGES // ROUNDS)
        try:
            more = monai_times(image, package, IMAGES_OF_MONAI) if not missing else theirs
            theirs.images.extend(more.images)
            theirs.runs.extend(more.runs)
        except MeasurementFailed as error:
            missing = str(error)
    yield from (f"{_row(way, times[way], times[BARE])}; load {load()}" for way in WAYS)
    yield _stages(going, image)
    mine = statistics.median(times[OURS])
    yield Figure(
        "pipeline: one stream, time of an image over R1's",
        mine / statistics.median(times[LEAST]),
        "x",
        STREAM_GOAL,
        f"medians of {len(times[OURS])}, image by image in turn, 1 thread, uncompressed",
    )
    if missing:
        yield f"not measured: {missing}"
        return
    yield _row(f"MONAI {VERSION}", theirs.images, theirs.runs)
    yield Figure(
        f"pipeline: time of an image over MONAI Deploy {VERSION}'s",
        mine / statistics.median(theirs.images),
        "x",
        1.0,
        f"medians of {len(times[OURS])} and {len(theirs.images)}, in {ROUNDS} rounds by turns",
    )


def _by_syntax(package: ModelPackage) -> Iterator[str]:
    yield f"\n{package.card.title}: milliseconds per image, one thread, median (p95)"
    for syntax in SYNTAXES:
        image = film(syntax)
        going = ways(image, package, threads=1)
        times: Times = {way: [] for way in WAYS}
        _by_turns(going, times, IMAGES_OF_A_SYNTAX)
        cells = " | ".join(f"{way} {_ms(times[way])}" for way in WAYS)
        over = statistics.median(times[OURS]) / statistics.median(times[BARE])
        yield f"  {_name(syntax):<28} {cells} | end to end / run {over:.2f}"
        yield f"    {_stages(going, image)}"


def _by_turns(going: Ways, times: Times, images: int) -> None:
    for _ in range(images):
        for way in WAYS:
            times[way].append(timed(going[way]))


def _stages(going: Ways, image: bytes) -> str:
    """Tell the medians of the stages of our way; `rest` is guards, heat map and bookkeeping."""
    said: list[Analysis] = [going.ours() for _ in range(IMAGES_OF_A_SYNTAX)]
    stages = {
        "read": statistics.median(one.timings.read for one in said),
        "prepare": statistics.median(one.timings.prepare for one in said),
        "run": statistics.median(one.timings.infer for one in said),
    }
    total = statistics.median(one.timings.total for one in said)
    stages["rest"] = max(0.0, total - sum(stages.values()))
    stages["digest"] = timed(lambda: instance_digest(image))  # before the analysis begins
    return "stages, ms: " + ", ".join(f"{name} {ms:.1f}" for name, ms in stages.items())


def _saturation(
    package: ModelPackage,
) -> Generator[Figure | str, None, tuple[int, int]]:
    """Find the best workers x threads by R0, then compare the ways there; return what is best."""
    r0 = {}
    for workers, threads in SETTINGS:
        with crew(package, workers=workers, threads=threads) as hands:
            r0[workers, threads] = hands.images_per_s(BARE, SECONDS)
        yield f"R0 with {workers} x {threads} threads: {r0[workers, threads]:.1f} images/s"
    workers, threads = max(r0, key=lambda one: r0[one])
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    with crew(package, workers=workers, threads=threads) as hands:
        for _ in range(TURNS):
            for way in WAYS:
                rates[way].append(hands.images_per_s(way, TURN_S))
    for way in WAYS:
        yield f"saturation, {way}: {_rates(rates[way])} images/s; load {load()}"
    yield Figure(
        "pipeline: images/s at saturation, R1's over ours",
        statistics.median(rates[LEAST]) / statistics.median(rates[OURS]),
        "x",
        1 / SATURATION_GOAL,
        f"{workers} x {threads} threads, {TURNS} turns of {TURN_S:g} s each, medians;"
        f" goal: ours >= {SATURATION_GOAL:g} of R1's",
    )
    return workers, threads


def _scale(package: ModelPackage) -> Iterator[str]:
    for workers in SCALE:
        with crew(package, workers=workers, threads=1) as hands:
            yield f"{workers} processes: {hands.images_per_s(OURS, SECONDS):.1f} images/s"


def _memory(package: ModelPackage, studies: int) -> Iterator[Figure | str]:
    """Let one process analyse study after study, and look at its size on the way."""
    sizes: list[float] = []
    with crew(package, workers=1, threads=1) as hands:
        started = time.monotonic()
        for _ in range(10):
            _some(hands, studies // 10)
            now, peak = hands.memory_mb()
            sizes.append(now)
    took = f"{studies} studies in {time.monotonic() - started:.0f} s"
    yield "resident, MB, every tenth part: " + " ".join(f"{size:.0f}" for size in sizes)
    yield Figure("pipeline: memory of a worker, peak", peak, "MB", MEMORY_GOAL_MB, took)
    yield Figure(
        "pipeline: growth after the first tenth", sizes[-1] - sizes[0], "MB", GROWTH_GOAL_MB, took
    )


def _some(hands: Crew, images: int) -> None:
    hands.run(OURS, images, timeout_s=5.0 * images)


def _row(name: str, times: Sequence[float], runs: Sequence[float]) -> str:
    over = statistics.median(times) / statistics.median(runs)
    return f"one stream, {name}: {_ms(times)} ms, {over:.2f} of its run, n {len(times)}"


def _ms(times: Sequence[float]) -> str:
    return f"{statistics.median(times):.1f} ({percentile(times, 0.95):.1f})"


def _rates(rates: Sequence[float]) -> str:
    return f"{statistics.median(rates):.1f} ({min(rates):.1f}-{max(rates):.1f})"


def _name(syntax: UID) -> str:
    return "uncompressed" if syntax == ExplicitVRLittleEndian else syntax.name.split(",")[0][:28]
