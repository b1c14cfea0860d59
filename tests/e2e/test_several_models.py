"""Two models in a running demo: each reads the study and has a card of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.e2e.running_demo import Demo, running_demo, until

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("e2e")]
SAID = {"bundled": "signs of pneumonia", "pass_through": "signs of A fixed test finding"}


def sightline(demo: Demo, *words: str) -> str:
    command = [sys.executable, "-m", "cds_service.cli", *words, "--data", str(demo.data)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def speakers(demo: Demo) -> set[str]:
    """Open the chart and return which models its cards are from."""
    cards = requests.get(f"{demo.chart}/chart/p101/cards", timeout=120).text
    return {name for name, said in SAID.items() if said in cards}


def test_a_second_model_reads_the_same_study_beside_the_first(tmp_path: Path) -> None:
    with running_demo(tmp_path) as demo:
        assert speakers(demo) == {"bundled"}
        ((uid,),) = demo.ledger("SELECT study_uid FROM result WHERE patient_id = 'p101'")

        sightline(demo, "models", "enable", "pass_through", "--ehr", "Sandbox EHR")
        routed = sightline(demo, "route", uid, "--ehr", "Sandbox EHR")
        until(lambda: speakers(demo) == {"bundled", "pass_through"})

        said = [line for line in routed.splitlines() if "is asked" in line]
        assert said == ["pass_through 1.0.0: is asked", "cxr_pneumonia_peds 0.2.0: is asked"]
        results = demo.ledger("SELECT id FROM result WHERE patient_id = 'p101'")
        assert len(results) == 2
