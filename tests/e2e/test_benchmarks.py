"""The hook benchmark from end to end, as small as it goes: one condition, one second."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from benchmarks import hook_latency, intake
from benchmarks.ehr import Ehr
from benchmarks.figures import Figure, MeasurementFailed
from benchmarks.running_demo import running_demo
from cds_service import wiring

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("e2e")]


@contextmanager
def no_healthchain() -> Iterator[str]:
    raise MeasurementFailed("it is not installed for a test")
    yield ""


def test_a_small_run_measures_both_kinds_of_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hook_latency, "healthchain", no_healthchain)
    monkeypatch.setattr(hook_latency, "CONDITIONS", {"up": {0: ("mix",)}, "gone": {0: ("mix",)}})
    monkeypatch.setattr(hook_latency, "RATE", 10.0)
    monkeypatch.setattr(hook_latency, "BUSY_PATIENTS", 10)
    monkeypatch.setattr(hook_latency, "NEW_PATIENTS", 2)
    monkeypatch.setattr(hook_latency, "WARM_UP_CALLS", 4)

    printed = list(hook_latency.hook_latency(round_s=1.0))

    figures = {one.name: one for one in printed if isinstance(one, Figure)}
    lines = [one for one in printed if isinstance(one, str)]
    assert lines[0] == "HealthChain is not measured: it is not installed for a test"
    # Redis up and gone, each with a line for the known results and one for the unknown.
    assert [line.split()[:5] for line in lines[3:]] == [
        ["Sightline", "0", "ms", redis, f"{kind},"]
        for redis in ("up", "gone")
        for kind in ("known", "unknown")
    ]
    assert all(" warning card" in line for line in lines[3:] if " known, mixed" in line)
    assert 0 < figures["hook: known result, p50, worst round"].value < float("inf")
    assert figures["hook: calls refused or failed"].conditions.startswith("of 20 calls; ")


def test_each_door_brings_a_new_study_to_its_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "STUDIES", 1)

    with running_demo() as demo:
        figures = list(intake.intake(demo, Ehr(demo, demo.data / "sandbox")))
        tenants = wiring.open_house(demo.settings()).tenants.all()

    medians = [one.name for one in figures if one.name.endswith("median")]
    assert medians == [
        f"intake: {door}, median" for door in ("subscription", "fhir-polling", "dicomweb-polling")
    ]
    assert all(0 < one.value < intake.TIMEOUT_S for one in figures)
    assert [one.doors for one in tenants] == [()]  # closed again, as the demo keeps them
