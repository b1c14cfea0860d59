"""The chart in a real browser: the rail fills by itself, the app opens in a cross-site frame."""

from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from werkzeug.wrappers import Response

from cds_service.sandbox.parts import Sandbox
from tests.real.pages import chromium_page, without_errors
from tests.unit.sandbox_chart.conftest import a_chart
from tests.unit.sandbox_chart.service import SmallService, a_card, cards, listening

pytestmark = [pytest.mark.real, pytest.mark.slow]

REASONS = [{"code": "no", "system": "urn:x", "display": "I disagree"}]


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that fails the test on any error the browser reports, the policy's among them."""
    with chromium_page() as page, without_errors(page):
        yield page


@pytest.fixture
def chart_url(parts: Sandbox) -> Iterator[str]:
    """Where the chart listens: on localhost, while the service is on 127.0.0.1."""
    with listening(a_chart(parts)) as port:
        yield f"http://localhost:{port}/chart"


def a_finding(service: SmallService) -> dict[str, Any]:
    link = {"type": "smart", "label": "Open", "url": f"{service.base}/app/launch"}
    return a_card(links=[{**link, "appContext": "opaque"}], overrideReasons=REASONS)


def test_a_running_analysis_is_replaced_by_its_result_without_a_reload(
    page: Page, chart_url: str, service: SmallService
) -> None:
    running = a_card(summary="Chest X-ray: AI analysis running, about 20 s", indicator="info")
    analysed = Event()
    service.answer = lambda _: cards(a_finding(service) if analysed.is_set() else running)

    page.goto(f"{chart_url}/p109")

    expect(page.get_by_text("AI analysis running")).to_be_visible()
    analysed.set()
    expect(page.get_by_text("signs of pneumonia (AI score")).to_be_visible()
    expect(page.get_by_text("AI analysis running")).to_have_count(0)


def test_a_service_that_was_silent_for_a_moment_is_asked_again_without_a_reload(
    page: Page, chart_url: str, service: SmallService
) -> None:
    is_back = Event()
    service.answer = lambda _: (
        cards(a_finding(service)) if is_back.is_set() else Response(status=503)
    )

    page.goto(f"{chart_url}/p109")

    expect(page.get_by_text("No decision support right now")).to_be_visible()
    is_back.set()
    expect(page.get_by_text("signs of pneumonia (AI score")).to_be_visible()
    expect(page.get_by_text("No decision support right now")).to_have_count(0)


def test_the_app_opens_in_a_frame_as_wide_as_asked(
    page: Page, chart_url: str, service: SmallService
) -> None:
    service.answer = lambda _: cards(a_finding(service))
    page.set_viewport_size({"width": 1280, "height": 800})
    page.goto(f"{chart_url}/p101")

    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.frame_locator("#frame").get_by_text("The app")).to_be_visible()
    wide = page.locator("#frame").bounding_box()
    page.get_by_role("button", name="Side panel").click()
    narrow = page.locator("#frame").bounding_box()

    assert wide is not None and wide["width"] > 800
    assert narrow is not None and 375 <= narrow["width"] <= 380


def test_a_dismissal_with_its_reason_is_reported_and_the_card_folds(
    page: Page, chart_url: str, service: SmallService
) -> None:
    service.answer = lambda _: cards(a_finding(service))
    page.goto(f"{chart_url}/p101")

    page.get_by_role("button", name="Dismiss…").click()
    page.get_by_label("I disagree").check()
    page.get_by_role("button", name="Dismiss", exact=True).click()

    expect(page.get_by_text("Dismissed. The AI service was told.")).to_be_visible()
    expect(page.get_by_role("button", name="Open", exact=True)).to_have_count(0)
    assert service.feedback[0]["feedback"][0]["overrideReason"]["reason"] == REASONS[0]


@pytest.mark.parametrize("width", [390, 760, 1020, 1280, 1920])
def test_no_width_makes_the_page_scroll_sideways(
    page: Page, chart_url: str, service: SmallService, width: int
) -> None:
    service.answer = lambda _: cards(a_finding(service))
    page.set_viewport_size({"width": width, "height": 844})
    page.goto(f"{chart_url}/p107")
    expect(page.get_by_text("signs of pneumonia (AI score")).to_be_visible()

    assert page.evaluate("document.documentElement.scrollWidth") == width
