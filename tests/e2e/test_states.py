"""Every state of the app as somebody sees it, from a phone to a desktop, in the light and the dark.

Each leaves its pictures to be looked at (`pictures` in conftest.py).
"""

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e.hospital import Hospital
from tests.e2e.states import STATES, State

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("states")]

WIDTHS = (1280, 380, 360)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_a_state_says_what_it_is_and_fits_every_width(
    state: State, hospital: Hospital, browser: Browser, pictures: Path
) -> None:
    context = browser.new_context(viewport={"width": WIDTHS[0], "height": 800})
    page = context.new_page()

    state.open(hospital, page)

    for words in state.words:
        expect(page.locator("body")).to_contain_text(words, timeout=30_000)
    for image in page.locator("img").all():
        expect(image).to_have_js_property("complete", True, timeout=60_000)
    expect(page.locator("[data-lost]")).to_have_count(0)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=pictures / f"{state.name}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
