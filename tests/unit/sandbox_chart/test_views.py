"""Cards and results as the chart shows them."""

from typing import Any

import pytest

from cds_service.sandbox.card_view import card_view, render_markdown, says_running
from cds_service.sandbox.record_view import result_views
from tests.unit.sandbox_chart.service import a_card

APP = "http://127.0.0.1:8000/app/launch"


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![x](https://elsewhere.example/pixel.png)",
        "[x](javascript:alert(1))",
        "[x](data:text/html,hello)",
    ],
)
def test_nothing_in_a_detail_runs_or_loads(hostile: str) -> None:
    html = str(render_markdown(hostile))

    assert not any(f"<{tag}" in html for tag in ("script", "img", 'a href="javascript', "iframe"))
    assert 'href="data:' not in html


def test_markdown_keeps_its_tables_and_opens_links_beside_the_chart() -> None:
    html = str(render_markdown("| a | b |\n|---|---|\n| 1 | 2 |\n\n[card](https://model.example)"))

    assert "<table>" in html
    assert 'target="_blank" rel="noopener noreferrer"' in html


def test_only_the_registered_app_and_web_addresses_are_followed() -> None:
    smart = {"type": "smart", "label": "Open", "url": APP, "appContext": "c"}
    links: list[dict[str, Any]] = [
        smart,
        {**smart, "url": "http://elsewhere.example/launch"},
        {"type": "absolute", "label": "Read", "url": "https://model.example/"},
        {"type": "absolute", "label": "Run", "url": "javascript:alert(1)"},
    ]

    view = card_view(a_card(links=links), APP)

    assert [(link.label, link.url, link.app_context) for link in view.links] == [
        ("Open", None, "c"),
        ("Read", "https://model.example/", None),
    ]


def test_a_card_that_says_running_is_worth_asking_for_again() -> None:
    running = a_card(summary="Chest X-ray 2 Jan 2026: AI analysis running, about 20 s")

    assert says_running([a_card(), running]) and not says_running([a_card()])


def an_observation(id_: str, **changes: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation",
        "id": id_,
        "status": "preliminary",
        "code": {"coding": [{"code": "233604007", "display": "Pneumonia"}]},
        "issued": "2026-01-02T09:12:00+00:00",
        **changes,
    }


def test_a_result_of_an_ai_carries_its_label_value_score_and_threshold() -> None:
    number = {"code": "1", "system": "http://unitsofmeasure.org"}
    finding = an_observation(
        "o1",
        meta={"security": [{"code": "AIAST"}]},
        valueCodeableConcept={"text": "Present"},
        component=[
            {"code": {"text": "Probability"}, "valueQuantity": {"value": 0.934, **number}},
            {"code": {"text": "Threshold"}, "valueQuantity": {"value": 0.62, **number}},
        ],
    )

    (view,) = result_views([], [finding])

    assert (view.name, view.value, view.status) == ("Pneumonia", "Present", "preliminary")
    assert view.details == ("Probability 0.93", "Threshold 0.62")
    assert view.is_from_ai and view.issued == "2 Jan 2026, 09:12"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0.00"),
        (0.004, "<0.01"),
        (0.005, "0.01"),
        (0.994, "0.99"),
        (0.9951, ">0.99"),
        (1, "1.00"),
    ],
)
def test_a_number_that_is_not_quite_0_or_1_is_not_shown_as_one(value: float, shown: str) -> None:
    quantity = {"value": value, "code": "1"}
    component = {"code": {"text": "Probability"}, "valueQuantity": quantity}

    (view,) = result_views([], [an_observation("o1", component=[component])])

    assert view.details == (f"Probability {shown}",)


def test_a_report_stands_over_its_own_observations() -> None:
    report = {
        "resourceType": "DiagnosticReport",
        "id": "r1",
        "status": "final",
        "code": {"text": "Chest X-ray"},
        "conclusion": "Signs of pneumonia.",
        "result": [{"reference": "Observation/o2"}, {"reference": "Observation/gone"}],
    }
    observations = [
        an_observation("o1", issued="2026-01-03T00:00:00Z", code={"text": "Temperature"}),
        an_observation("o2", dataAbsentReason={"text": "Not performed"}),
    ]

    views = result_views([report], observations)

    assert [(view.name, view.value, view.is_member) for view in views] == [
        ("Chest X-ray", "Signs of pneumonia.", False),
        ("Pneumonia", "Not performed", True),
        ("Temperature", "", False),
    ]
