"""How many workers: as set, or by what was measured on this machine."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cds_service.adapters import probe
from cds_service.adapters.model_shelf import ModelShelf
from cds_service.adapters.probe import CPU, combinations, measured
from cds_service.settings import Settings
from cds_service.wiring import plan_workers
from cds_service.worker_machine import control_groups, free_memory_mb, usable_cores
from cds_service.worker_plan import FILE, WORKER_MB, Row, measured_once, plan_of, settled

MODEL = "cxr_pneumonia_peds"
PLENTY = 100 * WORKER_MB


def settings(tmp_path: Path, **changes: Any) -> Settings:
    env = {
        "SIGHTLINE_DATA": str(tmp_path),
        "SIGHTLINE_PUBLIC_URL": "http://127.0.0.1:1",
        "SIGHTLINE_REDIS_URL": "redis://127.0.0.1:1",
    }
    return replace(Settings.from_env(env), **changes)


def row(workers: int, threads: int, images_per_s: float, provider: str = CPU) -> Row:
    return {
        "workers": workers,
        "threads": threads,
        "provider": provider,
        "images_per_s": images_per_s,
    }


def nobody_asks() -> list[Row]:
    raise AssertionError("nothing is open, so nothing is measured")


def test_a_given_number_of_workers_has_one_thread_each_and_nothing_is_measured(
    tmp_path: Path,
) -> None:
    plan = plan_of(settings(tmp_path, workers=3), nobody_asks, PLENTY)

    assert (plan.processes, plan.threads, plan.provider) == (3, 1, CPU)
    assert str(plan) == f"3 workers x 1 thread on {CPU}: as set"


def test_given_threads_and_provider_are_kept(tmp_path: Path) -> None:
    given = settings(tmp_path, workers=2, worker_threads=4, execution_provider="Other")

    plan = plan_of(given, nobody_asks, PLENTY)

    assert (plan.processes, plan.threads, plan.provider) == (2, 4, "Other")
    assert settled(settings(tmp_path), plan) == given


def test_the_fastest_is_chosen_and_said_why(tmp_path: Path) -> None:
    rows = [row(4, 1, 50.0), row(2, 2, 40.0), row(1, 4, 30.0, "Other")]

    plan = plan_of(settings(tmp_path), lambda: rows, PLENTY)

    assert (plan.processes, plan.threads, plan.provider) == (4, 1, CPU)
    assert "4 x 1 CPUExecutionProvider 50, 2 x 2 CPUExecutionProvider 40" in plan.why


def test_among_nearly_equal_ones_fewer_processes_are_chosen(tmp_path: Path) -> None:
    plan = plan_of(settings(tmp_path), lambda: [row(4, 1, 50.0), row(1, 4, 48.0)], PLENTY)

    assert (plan.processes, plan.threads) == (1, 4)


def test_a_faster_provider_is_chosen_unless_another_is_set(tmp_path: Path) -> None:
    rows = [row(2, 1, 50.0), row(2, 1, 90.0, "Other")]

    assert plan_of(settings(tmp_path), lambda: rows, PLENTY).provider == "Other"
    set_to_cpu = settings(tmp_path, execution_provider=CPU)
    assert plan_of(set_to_cpu, lambda: rows, PLENTY).provider == CPU


def test_no_more_workers_than_there_is_memory_for(tmp_path: Path) -> None:
    plan = plan_of(settings(tmp_path), lambda: [row(16, 1, 90.0)], 3 * WORKER_MB + 1)

    assert plan.processes == 3 and "memory for 3 only" in plan.why


def test_without_a_measurement_there_is_one_worker(tmp_path: Path) -> None:
    plan = plan_of(settings(tmp_path), list, PLENTY)

    assert (plan.processes, plan.threads, plan.provider) == (1, 1, CPU)


def test_a_measurement_is_kept_until_the_model_changes(tmp_path: Path) -> None:
    asked: list[int] = []

    def probe(cores: int) -> list[Row]:
        asked.append(cores)
        return [row(cores, 1, 10.0)]

    first = measured_once(tmp_path, "sha256:1", probe)
    assert measured_once(tmp_path, "sha256:1", probe) == first and len(asked) == 1
    measured_once(tmp_path, "sha256:2", probe)
    assert len(asked) == 2
    (tmp_path / FILE).write_text("{broken")
    assert measured_once(tmp_path, "sha256:2", probe) == first and len(asked) == 3


@pytest.mark.parametrize(
    ("cores", "expected"),
    [(1, [(1, 1)]), (2, [(2, 1), (1, 2)]), (4, [(4, 1), (2, 2), (1, 4)]), (64, [(64, 1), (1, 64)])],
)
def test_no_combination_asks_for_more_than_the_cores(
    cores: int, expected: list[tuple[int, int]]
) -> None:
    assert combinations(cores) == expected


def test_the_bundled_model_is_measured_on_the_processor() -> None:
    rows = list(measured(ModelShelf(None, MODEL).package(MODEL), 2, budget_s=0.0))

    assert [(one.workers, one.threads, one.provider) for one in rows] == [(2, 1, CPU)]
    assert rows[0].images_per_s > 0


def test_an_installation_measures_once_in_a_process_of_its_own(tmp_path: Path) -> None:
    plan = plan_workers(settings(tmp_path))

    assert plan.processes >= 1 and "images/s measured" in plan.why
    assert (tmp_path / FILE).exists()
    again = plan_workers(settings(tmp_path))
    assert (again.threads, again.provider) == (plan.threads, plan.provider)


def test_each_provider_has_its_own_time_to_be_measured_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_providers", lambda: [CPU, CPU])  # as if there were two

    rows = list(measured(ModelShelf(None, MODEL).package(MODEL), 2, budget_s=0.0))

    assert len(rows) == 2


def test_a_provider_that_does_not_load_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "_providers", lambda: [CPU, "NoSuchExecutionProvider"])

    rows = list(measured(ModelShelf(None, MODEL).package(MODEL), 1, budget_s=60.0))

    assert {one.provider for one in rows} == {CPU}


def a_container(tmp_path: Path, **files: str) -> list[Path]:
    """Write the limits of a group, and those of the group around it, as Linux shows them."""
    root, group = tmp_path / "cgroup", tmp_path / "cgroup" / "system.slice" / "sightline"
    group.mkdir(parents=True)
    (root / "cgroup.controllers").write_text("cpu memory\n")
    for name, text in files.items():
        folder = group.parent if name.startswith("outer_") else group
        (folder / name.removeprefix("outer_").replace("_", ".")).write_text(text + "\n")
    own = tmp_path / "own"
    own.write_text("0::/system.slice/sightline\n")
    return control_groups(root, own)


def test_a_container_s_memory_is_what_it_allows(tmp_path: Path) -> None:
    groups = a_container(tmp_path, memory_max="1000000000", memory_current="200000000")

    assert free_memory_mb(groups) == 800 < free_memory_mb([])


def test_a_limit_around_the_group_holds_inside_it(tmp_path: Path) -> None:
    outer = {"outer_memory_max": "500000000", "outer_memory_current": "600000000"}

    assert free_memory_mb(a_container(tmp_path, memory_max="max", **outer)) == 0


@pytest.mark.parametrize(
    ("quota", "cores"), [("50000 100000", 1), ("100000 100000", 1), ("max 100000", None)]
)
def test_a_container_s_cores_are_what_it_allows(
    tmp_path: Path, quota: str, cores: int | None
) -> None:
    groups = a_container(tmp_path, cpu_max=quota)

    assert usable_cores(groups) == (cores or usable_cores([]))


def test_without_control_groups_the_machine_decides(tmp_path: Path) -> None:
    assert control_groups(tmp_path, tmp_path / "own") == []
