"""No page of the app has an accessibility fault that axe-core can find.

Source: WCAG 2.2 AA; axe-core, all of its rules.
"""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.hospital import Hospital
from tests.e2e.states import STATES, State

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("states")]


def faults(page: Page) -> list[str]:
    """Return each fault with the places that have it."""
    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']} ({fault['impact']}): {node['target']} {node['failureSummary']}"
        for fault in found
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_axe_finds_no_fault(
    state: State, scheme: str, hospital: Hospital, browser: Browser
) -> None:
    context = browser.new_context(
        viewport={"width": 1280, "height": 800},
        color_scheme=scheme,  # type: ignore[arg-type]
    )
    page = context.new_page()
    state.open(hospital, page)
    expect(page.locator("body")).to_contain_text(state.words[0], timeout=30_000)

    wide = faults(page)
    page.set_viewport_size({"width": 360, "height": 740})
    narrow = faults(page)

    assert (wide, narrow) == ([], [])
    context.close()


def test_axe_would_find_a_fault(browser: Browser) -> None:
    page = browser.new_page()
    page.set_content("<img src='x'><p style='color:#aaa;background:#fff'>pale</p>")

    found = " ".join(faults(page))
    page.close()

    assert "image-alt" in found and "color-contrast" in found
