"""No page of the app has an accessibility fault that axe-core can find.

Source: WCAG 2.2 AA; axe-core, all of its rules.
"""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from tests.e2e.hospital import Hospital
from tests.e2e.states import STATES, Open, State

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("states")]


def faults(page: Page) -> list[str]:
    """Return each fault with the places that have it."""
    found = Axe().run(page).response["violations"]
    return [
        f"{fault['id']} ({fault['impact']}): {node['target']} {node['failureSummary']}"
        for fault in found
        for node in fault["nodes"]
    ]


def at_home(hospital: Hospital, page: Page) -> None:
    page.goto(f"{hospital.base}/app/")


def without_cookies(hospital: Hospital, page: Page) -> None:
    page.goto(f"{hospital.launch('p101')}&cookie=abcdefghijkl")


def before_the_sign_in(hospital: Hospital, page: Page) -> None:
    page.route("**/authorize.js", lambda route: route.abort())
    page.goto(hospital.launch("p101"))


def with_opened(text: str) -> Open:
    """Open the study page and one of its forms."""

    def opened(hospital: Hospital, page: Page) -> None:
        page.goto(hospital.launch("p101"))
        page.get_by_text(text).click()

    return opened


def with_the_keys(hospital: Hospital, page: Page) -> None:
    page.goto(hospital.launch("p101"))
    expect(page.locator(".viewer")).to_have_attribute("data-viewer", "ready")
    page.get_by_role("button", name="Keys").click()


def with_a_stopped_viewer(hospital: Hospital, page: Page) -> None:
    page.route("**/images", lambda route: route.abort())
    page.goto(hospital.launch("p101"))


OPENED = (
    State("home", ("Your worklist at",), at_home),
    State("new-window", ("needs its own window",), without_cookies),
    State("authorize", ("On to the EHR's sign-in",), before_the_sign_in),
    State("disagree", ("Save: disagree",), with_opened("Disagree…")),
    State("wrong-place", ("Save: wrong place",), with_opened("Wrong place…")),
    State("comment", ("Save comment",), with_opened("Comment…")),
    State("keys", ("More contrast",), with_the_keys),
    State("stopped", ("viewer has stopped",), with_a_stopped_viewer),
)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("state", STATES + OPENED, ids=lambda state: state.name)
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
