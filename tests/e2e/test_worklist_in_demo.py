"""The worklist of a running demo: real web processes, a real worker, the sandbox's sign-in."""

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.running_demo import Demo
from tests.e2e.test_demo import frame_after, open_chart

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("e2e")]


def test_the_demo_lists_what_its_chart_has_asked_for(page: Page, demo: Demo) -> None:
    open_chart(page, demo, "p101")  # its card is gone where another test has reviewed the finding
    app = frame_after(page, page.get_by_role("button", name="Open in Sightline").first)
    expect(app.locator(".verdict")).to_be_visible(timeout=180_000)  # its worker has done it

    page.goto(f"{demo.addresses['service'].rstrip('/')}/app/")
    page.get_by_role("link", name="Your worklist at Sandbox EHR").click()
    page.get_by_role("row", name="Radiology desk").get_by_role("button").click()
    page.wait_for_url("**/worklist")
    page.locator(".rows h2 a", has_text="Sampleton").first.click()

    expect(page.locator(".patient .name")).to_contain_text("Sampleton")
    expect(page.locator(".stage .picture")).to_have_js_property("complete", True)
