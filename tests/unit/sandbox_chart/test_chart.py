"""The chart's pages and what they ask their own backend for."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask.testing import FlaskClient

from cds_service.sandbox.parts import Sandbox
from tests.unit.sandbox_chart.conftest import a_chart
from tests.unit.sandbox_chart.service import SmallService, a_card, cards


@pytest.fixture
def browser(parts: Sandbox) -> FlaskClient:
    return a_chart(parts).test_client()


def test_the_list_names_everybody_with_age_and_number(browser: FlaskClient) -> None:
    page = browser.get("/").text

    assert page.count("<tr>") == 11  # ten people under one head
    assert all(words in page for words in ("Sampleton, Otto", "3 y", "SBX-1001", "17 mo"))


def test_a_search_narrows_the_list_and_says_when_nobody_fits(browser: FlaskClient) -> None:
    found = browser.post("/", data={"words": "beispiel"}).text
    nobody = browser.post("/", data={"words": "<b>smith"}).text

    assert "Beispiel, Zoë" in found and "Sampleton" not in found
    assert "Nobody here is called" in nobody and "<b>smith" not in nobody


def test_a_chart_shows_who_it_is_and_the_studies_newest_first(browser: FlaskClient) -> None:
    page = browser.get("/chart/p107").text

    assert page.index("A-24007") < page.index("A-23107")
    assert page.count("Open in Sightline") == 2 and "Fixture, Inés" in page


def test_a_chart_does_not_wait_for_the_service(browser: FlaskClient, service: SmallService) -> None:
    page = browser.get("/chart/p101").text

    assert service.hooks == [] and "Asking the AI service" in page


def test_a_patient_without_imaging_gets_a_sentence(browser: FlaskClient) -> None:
    assert "No imaging studies for this patient." in browser.get("/chart/p108").text


@pytest.mark.parametrize("path", ["", "/cards", "/results"])
def test_an_unknown_patient_is_not_found(browser: FlaskClient, path: str) -> None:
    response = browser.get(f"/chart/nobody{path}")

    assert response.status_code == 404 and "There is no such patient" in response.text


def test_the_page_loads_only_itself_and_frames_only_the_app(
    browser: FlaskClient, service: SmallService
) -> None:
    response = browser.get("/chart/p101")

    policy = response.headers["Content-Security-Policy"]
    assert f"frame-src 'self' {service.base};" in policy and "default-src 'self'" in policy
    assert response.headers["Cache-Control"] == "no-store"


def test_cards_come_with_word_shape_and_a_launch(
    browser: FlaskClient, service: SmallService
) -> None:
    link = {"type": "smart", "label": "See it", "url": f"{service.base}/app/launch"}
    reason = {"code": "no", "system": "urn:x", "display": "I disagree"}
    service.answer = lambda _: cards(
        a_card(links=[{**link, "appContext": "opaque"}], overrideReasons=[reason])
    )

    answer = browser.get("/chart/p101/cards").get_json()

    [group] = answer["groups"]
    assert (group["state"], answer["again"]) == ("cards", False)
    for words in ("Warning", "#mark-warning", "See it", 'data-app-context="opaque"', "I disagree"):
        assert words in group["html"]
    assert 'data-study="p101-study-A-24001"' in group["html"]


def test_a_card_of_a_patient_with_two_studies_claims_neither(
    browser: FlaskClient, service: SmallService
) -> None:
    link = {"type": "smart", "label": "See it", "url": f"{service.base}/app/launch"}
    service.answer = lambda _: cards(a_card(links=[{**link, "appContext": "opaque"}]))

    [group] = browser.get("/chart/p107/cards").get_json()["groups"]
    assert "data-app-context" in group["html"] and "data-study" not in group["html"]


def test_a_running_analysis_asks_the_page_to_come_again(
    browser: FlaskClient, service: SmallService
) -> None:
    service.answer = lambda _: cards(a_card(summary="Chest X-ray: AI analysis running, 20 s"))

    assert browser.get("/chart/p109/cards").get_json()["again"] is True


def test_a_silent_service_is_told_in_the_rail_and_the_chart_stays_whole(
    browser: FlaskClient, service: SmallService
) -> None:
    service.answer = lambda _: {"cards": "none"}

    [group] = browser.get("/chart/p101/cards").get_json()["groups"]

    assert group["state"] == "failed" and "No decision support right now." in group["html"]


def test_a_launch_for_a_study_of_this_patient_gives_the_apps_address(browser: FlaskClient) -> None:
    answer = browser.post("/chart/p101/launch", json={"study": "p101-study-A-24001"})

    query = parse_qs(urlsplit(answer.get_json()["url"]).query)
    assert set(query) == {"iss", "launch"}


@pytest.mark.parametrize(
    ("body", "status"),
    [({"json": {"study": "p102-study-A-24002"}}, 404), ({"data": {"study": "x"}}, 415)],
)
def test_a_launch_for_another_patients_study_or_from_a_form_is_refused(
    browser: FlaskClient, body: dict[str, Any], status: int
) -> None:
    assert browser.post("/chart/p101/launch", **body).status_code == status


def test_a_dismissal_reaches_the_service(browser: FlaskClient, service: SmallService) -> None:
    service.answer = lambda _: cards(a_card(uuid="c-1"))
    browser.get("/chart/p101/cards")
    reason = {"code": "no", "system": "urn:x", "display": "I disagree"}

    answer = browser.post(
        "/chart/p101/feedback",
        json={"card": "c-1", "outcome": "overridden", "reason": reason, "comment": None},
    )

    assert answer.get_json()["failure"] is None
    (entry,) = service.feedback[0]["feedback"]
    assert entry["outcome"] == "overridden"
    assert entry["overrideReason"] == {"reason": reason}


def test_a_reason_that_is_no_coding_is_refused(browser: FlaskClient, service: SmallService) -> None:
    body = {"card": "c-1", "outcome": "overridden", "reason": "I disagree"}

    assert browser.post("/chart/p101/feedback", json=body).status_code == 400
    assert service.feedback == []
