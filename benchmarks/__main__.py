"""`python -m benchmarks [start memory study intake viewer hook install]`: print the figures."""

import argparse
from collections.abc import Callable, Iterable

import requests

from benchmarks.conditions import conditions, load
from benchmarks.ehr import Ehr
from benchmarks.figures import Figure, MeasurementFailed
from benchmarks.hook_latency import hook_latency
from benchmarks.install_size import install_size
from benchmarks.intake import intake
from benchmarks.memory import idle_memory
from benchmarks.pipeline import SHORT, pipeline
from benchmarks.running_demo import running_demo
from benchmarks.study_time import study_time
from benchmarks.viewer import viewer

OF_THE_DEMO = ("start", "memory", "study", "intake", "viewer")
ALL = (*OF_THE_DEMO, "hook", "pipeline", "install")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("figures", nargs="*", help=f"some of {' '.join(ALL)} (default: all)")
    studies = "of the pipeline's memory figure"
    parser.add_argument("--studies", type=int, default=SHORT, help=studies)
    given = parser.parse_args()
    wanted = given.figures or ALL
    if unknown := set(wanted) - set(ALL):
        parser.error(f"there is no figure {', '.join(sorted(unknown))}")
    for line in conditions():
        print(line)
    print()
    if set(wanted) & set(OF_THE_DEMO):
        _report(lambda: _demo_figures(wanted))
    if "hook" in wanted:
        _report(hook_latency)
    if "pipeline" in wanted:
        _report(lambda: pipeline(given.studies))
    if "install" in wanted:
        _report(lambda: [install_size()])
    print(f"\nload at the end: {load()}")


def _report(measure: Callable[[], Iterable[Figure | str]]) -> None:
    """Print each figure or line as soon as it is there; say so when one cannot be taken."""
    try:
        for figure in measure():
            print(figure, flush=True)
    except (MeasurementFailed, requests.RequestException, OSError) as error:
        print(f"not measured: {error}", flush=True)


def _demo_figures(wanted: Iterable[str]) -> Iterable[Figure]:
    with running_demo() as demo:
        if "start" in wanted:
            yield demo.start_time()
        if "memory" in wanted:
            yield idle_memory(demo.pid, "after the start")
        ehr = Ehr(demo, demo.data / "sandbox")
        if "study" in wanted:
            yield from study_time(ehr)
        if "intake" in wanted:
            yield from intake(demo, ehr)
        if "viewer" in wanted:
            yield from viewer(demo)
        if {"memory", "study"} <= set(wanted):
            yield idle_memory(demo.pid, "after the studies")


if __name__ == "__main__":
    main()
