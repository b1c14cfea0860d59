"""The delay before the slow EHR's answers."""

import pytest
from werkzeug.test import Client
from werkzeug.wrappers import Response

from benchmarks import slow_ehr
from benchmarks.slow_ehr import CONTROL, Delayed


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    seconds: list[float] = []
    monkeypatch.setattr(slow_ehr.time, "sleep", seconds.append)
    return seconds


def test_an_answer_takes_as_long_as_was_set(slept: list[float]) -> None:
    client = Client(Delayed(Response("the record")))

    client.get("/fhir/Patient/1")
    assert client.put(CONTROL, data="300").status_code == 204
    answer = client.get("/dicom-web/studies")

    assert answer.text == "the record"
    assert slept == [0.0, 0.3]
