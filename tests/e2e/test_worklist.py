"""The worklist in a browser, over the real service: what stands out, and the keyboard.

That nothing else is shown is tested in `tests/web_app/test_worklist.py`; the pictures of every
state and width are taken by `test_states.py`, faults are looked for by `test_accessibility.py`.
"""

from collections.abc import Iterator
from itertools import pairwise

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.hospital import Hospital
from tests.e2e.states import the_worklist
from tests.real.pages import PAGE_MS, blank_page, without_errors

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("states")]


@pytest.fixture
def worklist(hospital: Hospital, browser: Browser) -> Iterator[Page]:
    with blank_page(browser) as page, without_errors(page):
        the_worklist()(hospital, page)
        yield page


def test_what_is_overdue_stands_first_with_a_word_and_a_shape(worklist: Page) -> None:
    first = worklist.locator(".rows > li").first

    expect(first.get_by_text("Overdue.", exact=True)).to_be_visible()
    expect(first.locator(".bell")).to_be_visible()
    expect(first.locator(".said strong")).to_have_text("Critical")
    expect(worklist.locator("[data-overdue]")).to_have_count(1)


def test_the_whole_row_opens_the_study_and_leads_back(worklist: Page) -> None:
    address = worklist.url
    row = worklist.locator(".rows > li").first
    name = row.locator("h2").inner_text()

    row.locator(".times").click(force=True)  # the link lies over the whole row

    expect(worklist.locator(".patient .name")).to_have_text(name)
    expect(worklist.get_by_role("heading", name="signs of pneumonia")).to_be_visible()
    worklist.get_by_role("link", name="Back to the worklist").click()
    expect(worklist).to_have_url(address)


def test_it_is_used_with_the_keyboard_alone(worklist: Page) -> None:
    worklist.locator("#unacknowledged").focus()
    worklist.keyboard.press("Space")
    worklist.keyboard.press("Tab")
    expect(worklist.get_by_role("button", name="Show")).to_be_focused()
    worklist.keyboard.press("Enter")

    worklist.wait_for_url("**unacknowledged=1**")
    expect(worklist.locator("#unacknowledged")).to_be_checked()
    worklist.get_by_role("link", name="Show all").focus()
    worklist.keyboard.press("Tab")
    expect(worklist.locator(".rows > li h2 a").first).to_be_focused()
    # The ring is around the row, where the eye is.
    ring = worklist.locator(".rows > li").first.evaluate(
        "row => getComputedStyle(row).outlineStyle"
    )
    assert ring == "solid"
    worklist.keyboard.press("Enter")
    expect(worklist.get_by_role("link", name="Back to the worklist")).to_be_visible()


def test_a_filter_stays_in_the_form_and_in_the_address(worklist: Page) -> None:
    worklist.get_by_label("State").select_option("Uncertain")
    worklist.get_by_role("button", name="Show").click()

    worklist.wait_for_url("**state=uncertain**")
    expect(worklist.get_by_label("State")).to_have_value("uncertain")
    expect(worklist.locator(".said strong").first).to_have_text("Uncertain")
    assert set(worklist.locator(".said strong").all_inner_texts()) == {"Uncertain"}


def test_a_clinician_agrees_and_the_finding_is_acknowledged(worklist: Page) -> None:
    found = worklist.locator(".rows > li", has_text="Found").first
    name = found.locator("h2").inner_text()
    found.locator("h2 a").click()
    worklist.get_by_role("button", name="Agree", exact=True).first.click()
    expect(worklist.locator(".review").first).to_contain_text("Saved")

    worklist.get_by_role("link", name="Back to the worklist").click()
    worklist.get_by_label("Only not acknowledged").check()
    worklist.get_by_role("button", name="Show").click()
    worklist.wait_for_url("**unacknowledged=1**")

    expect(
        worklist.locator(".rows > li", has_text=name).locator("strong", has_text="Found")
    ).to_have_count(0)


@pytest.mark.parametrize("width", [1280, 380, 360])
def test_every_field_is_large_enough_to_be_hit(worklist: Page, width: int) -> None:
    worklist.set_viewport_size({"width": width, "height": 800})

    boxes = worklist.locator(
        ".filters :is(select, input[type=date], button, label[for=unacknowledged])"
    )

    for one in boxes.all():
        box = one.bounding_box()
        assert box is not None and box["height"] >= 24 and box["x"] + box["width"] <= width


def test_in_arabic_a_row_reads_from_the_right_and_nothing_in_it_is_torn(worklist: Page) -> None:
    worklist.get_by_role("combobox", name="Language").select_option("ar")
    worklist.get_by_role("button", name="Switch").click()
    expect(worklist.locator("html")).to_have_attribute("dir", "rtl")
    line = worklist.locator(".rows > li .what p:not(.said)").first
    parts = line.locator("bdi, time")

    boxes = parts.evaluate_all(
        "all => all.map(one => [...one.getClientRects()].map(({left, right}) => [left, right]))"
    )

    # Description, kind of image, day: from the right, and no piece of one among another's.
    spans = [(min(left for left, _ in box), max(right for _, right in box)) for box in boxes]
    assert len(spans) == 3
    assert all(after[1] <= before[0] for before, after in pairwise(spans)), spans
    for box in boxes:
        assert all(gap[1][0] - gap[0][1] < 1 for gap in pairwise(sorted(box))), box


def test_it_is_used_with_a_finger_on_a_phone(hospital: Hospital, browser: Browser) -> None:
    context = browser.new_context(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True
    )
    context.set_default_timeout(PAGE_MS)
    page = context.new_page()
    with without_errors(page):
        the_worklist()(hospital, page)
        page.get_by_label("State").select_option("critical")
        page.get_by_role("button", name="Show").tap()
        page.wait_for_url("**state=critical**")
        row = page.locator(".rows > li").first
        name = row.locator("h2").inner_text()
        row.locator(".times").tap(force=True)  # the whole row, not the name alone

        expect(page.locator(".patient .name")).to_have_text(name)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.get_by_role("link", name="Back to the worklist").tap()
        expect(page.get_by_text("Overdue.", exact=True)).to_be_visible()
    context.close()


def test_at_320_pixels_it_needs_no_sideways_scrolling(worklist: Page) -> None:
    worklist.set_viewport_size({"width": 320, "height": 256})

    assert worklist.evaluate("document.documentElement.scrollWidth") <= 320
