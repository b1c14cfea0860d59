"""The demo's first opening of the charts, before a chart that answers what the test says."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from flask import Flask

from cds_service.demo import preparation
from cds_service.demo.preparation import prepare_studies
from cds_service.domain.finding import Result
from cds_service.sandbox.patients import PATIENTS
from tests.builders import a_result
from tests.contract.fhir_server import serving
from tests.unit.demo.test_children import Said
from tests.unit.demo.test_supervisor import SETTINGS

ROWS = {row.id: row for row in PATIENTS if row.studies and row.is_analysed_beforehand}


@dataclass
class Chart:
    """A chart that leads to results from its `works_from`th opening on; 0 is never."""

    works_from: int
    opened: Counter[str] = field(default_factory=Counter)
    base: str = ""

    def app(self) -> Flask:
        app = Flask("chart")
        app.get("/chart/<patient>/cards")(self.cards)
        return app

    def cards(self, patient: str) -> dict[str, str]:
        self.opened[patient] += 1
        return {}

    def studies_of(self, _tenant_id: str, patient: str) -> list[Result]:
        """Be the ledger too: it knows what a hook that worked has asked for."""
        works = 0 < self.works_from <= self.opened[patient]
        return [a_result() for _ in ROWS[patient].studies] if works else []


@pytest.fixture
def chart(monkeypatch: pytest.MonkeyPatch) -> Iterator[Chart]:
    chart = Chart(works_from=1)
    monkeypatch.setattr(preparation, "results", lambda _settings: chart)
    with serving(chart.app()) as chart.base:
        yield chart


def prepared(chart: Chart) -> Said:
    said = Said()
    prepare_studies(SETTINGS, chart.base, "sandbox", said)
    return said


def test_every_chart_is_opened_once_and_its_results_are_waited_for(chart: Chart) -> None:
    said = prepared(chart)

    assert chart.opened == dict.fromkeys(ROWS, 1)
    assert said[-1] == ("studies", f"prepared {len(ROWS)} of {len(ROWS)} patients")


def test_a_chart_whose_hook_came_to_nothing_is_opened_again(
    chart: Chart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "OPEN_AGAIN_S", 0.0)
    chart.works_from = 2

    said = prepared(chart)

    assert chart.opened == dict.fromkeys(ROWS, 2)
    assert said[-1] == ("studies", f"prepared {len(ROWS)} of {len(ROWS)} patients")


def test_when_nothing_comes_any_more_the_demo_goes_on_and_says_so(
    chart: Chart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "TIMEOUT_S", 0.2)
    chart.works_from = 0

    said = prepared(chart)

    assert said == [("studies", f"{len(ROWS)} of {len(ROWS)} patients are still being analysed")]
