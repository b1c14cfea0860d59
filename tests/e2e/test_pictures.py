"""The pictures of the README: of a demo that nobody has used yet, as a visitor sees its pages.

`SIGHTLINE_PICTURES=docs/pictures .venv/bin/python -m pytest tests/e2e/test_pictures.py` takes them.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Frame, Page, expect

from tests.e2e.running_demo import Demo, running_demo
from tests.e2e.test_demo import frame_after, open_chart
from tests.real.pages import DECODED_WIDTH, blank_page, without_errors

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("pictures")]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo of its own: in that of the other tests, findings are reviewed and cards gone."""
    with running_demo(tmp_path_factory.mktemp("pictured")) as demo:
        yield demo


def opened(page: Page, demo: Demo) -> Frame:
    """Open the app from a chart, and wait until the viewer has drawn its image."""
    open_chart(page, demo, "p101")
    app = frame_after(page, page.get_by_role("button", name="Open in Sightline").first)
    expect(app.locator(".viewer")).to_have_attribute("data-viewer", "ready")
    return app


def test_the_chart_with_its_card(browser: Browser, demo: Demo, pictures: Path) -> None:
    with blank_page(browser, 1280, 860) as page, without_errors(page):
        card = open_chart(page, demo, "p107").filter(has_text="Warning")
        expect(card.locator("[data-launch]")).to_be_in_viewport(ratio=1)

        page.screenshot(path=pictures / "chart.png")


def test_the_app_with_outline_and_heat_map(browser: Browser, demo: Demo, pictures: Path) -> None:
    with blank_page(browser, 1280, 910) as page, without_errors(page):
        app = opened(page, demo)
        app.get_by_text("Heat map", exact=True).click()
        assert app.locator(".surroundings").evaluate(DECODED_WIDTH) > 0
        for part in (".stage", ".score", "[data-opacity]"):
            expect(app.locator(part)).to_be_in_viewport()

        page.screenshot(path=pictures / "heatmap.png")


def test_the_app_on_a_phone(browser: Browser, demo: Demo, pictures: Path) -> None:
    with blank_page(browser, 390, 844) as page, without_errors(page):
        app = opened(page, demo)
        expect(app.locator(".score")).to_be_in_viewport()
        expect(app.locator(".stage")).to_be_in_viewport()

        page.screenshot(path=pictures / "phone.png")
