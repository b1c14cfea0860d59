"""What a review says is what somebody meant: a marked place, typed text, the newest verdict.

Source: issue "Review" (wrong place: draw the box); WCAG 2.2, 2.5.7 and 3.3.1.
"""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from playwright.sync_api import Locator, Page, expect

from cds_service.domain.finding import Box
from cds_service.domain.job import JobStep
from cds_service.domain.review import Reason, Verdict
from cds_service.domain.tenant import Tenant
from tests.builders import a_patient, a_study
from tests.real.pages import wait_until
from tests.web_app.conftest import LaunchOf, Screen
from tests.web_app.house import House, a_radiograph, a_seen_result
from tests.web_app.test_viewer import PHONE, blocks, is_ready, keep, touch

pytestmark = [pytest.mark.real, pytest.mark.slow]

COLUMNS, ROWS = 896, 1024
# A stroke that the page leaves to Chromium may become a fling, which swallows the next tap: the
# tap alone misses that in two of three runs.
TAKEN = "() => addEventListener('touchstart', event => { window.taken = event.defaultPrevented })"
SIDES = ("left", "top", "width", "height")
# Keeps what a script wants to wait for, and lets it wait no longer than a moment.
IMPATIENT = """window.waits = [];
  const later = window.setTimeout;
  window.setTimeout = (act, wait, ...rest) => {
    if (String(act).includes("[NAME](")) window.waits.push(wait);
    return later(act, Math.min(wait ?? 0, 20), ...rest);
  };"""


def film(house: House) -> None:
    keep(house, a_radiograph(blocks(ROWS, COLUMNS)))


def marking(page: Page) -> Locator:
    """Open "Wrong place"; return the drawing over the image."""
    is_ready(page)
    page.get_by_text("Wrong place…").click()
    drawing = page.locator(".drawing")
    expect(drawing).to_be_visible()
    return drawing


def four(page: Page) -> list[str]:
    return [page.locator(f"details[data-place] [name={side}]").input_value() for side in SIDES]


def at(drawing: Locator, x: float, y: float) -> tuple[float, float]:
    """Return a point of the screen, from shares of the drawing."""
    frame = drawing.bounding_box()
    assert frame is not None
    return frame["x"] + frame["width"] * x, frame["y"] + frame["height"] * y


def session_ends(house: House) -> None:
    house.redis.flushdb()


# --- the place --------------------------------------------------------------------------------


def test_a_place_that_nobody_marked_is_not_saved(house: House, study: Screen) -> None:
    film(house)

    with study() as page:
        drawing = marking(page)
        expect(drawing).to_have_attribute("data-proposed", "")
        page.get_by_role("button", name="Save: wrong place").click()
        left = page.get_by_label("Left", exact=True)
        said = left.evaluate("field => field.validationMessage")

        assert said.startswith("Mark the place first") and four(page) == [""] * 4
        assert house.reviews.all == []

        drawing.press("ArrowRight")  # now somebody moved it
        page.get_by_role("button", name="Save: wrong place").click()
        expect(page.get_by_text("You marked another place on")).to_be_visible()

    assert [one.region for one in house.reviews.all] == [Box(336 + 10, 384, 224, 256)]


def test_a_place_is_drawn_with_a_finger_on_a_phone(house: House, study: Screen) -> None:
    film(house)

    with study(360, 740, **PHONE) as page:
        drawing = marking(page)
        expect(page.locator(".stage")).to_be_in_viewport(ratio=0.99)
        start, end = at(drawing, 0.25, 0.25), at(drawing, 0.5, 0.75)
        halfway = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)
        page.evaluate(TAKEN)
        touch(page, [start], [halfway], [end])
        wait_until(page, "document.querySelector('[name=left]').value !== ''")
        drawn = [int(value) for value in four(page)]
        assert page.evaluate("window.taken") is True
        page.get_by_role("button", name="Save: wrong place").tap()
        expect(page.get_by_text("You marked another place on")).to_be_visible()

    wanted = [COLUMNS / 4, ROWS / 4, COLUMNS / 4, ROWS / 2]
    assert drawn == pytest.approx(wanted, abs=0.02 * ROWS)
    assert [one.region for one in house.reviews.all] == [Box(*drawn)]


def test_a_trembling_tap_and_a_second_finger_change_no_place(house: House, study: Screen) -> None:
    film(house)

    with study(360, 740, **PHONE) as page:
        drawing = marking(page)
        x, y = at(drawing, 0.5, 0.5)
        touch(page, [(x, y)], [(x + 3, y + 2)], [(x + 5, y + 6)])
        assert four(page) == [""] * 4

        first, last = at(drawing, 0.2, 0.2), at(drawing, 0.6, 0.6)
        touch(page, [first], [last])
        wait_until(page, "document.querySelector('[name=left]').value !== ''")
        drawn = four(page)
        touch(page, [(x, y)], [(x + 6, y + 40)])  # a line, not a box
        assert four(page) == drawn

        second = at(drawing, 0.9, 0.9)
        touch(page, [first], [last], [last, second], [last, (second[0] - 30, second[1] - 60)])
        assert four(page) == drawn


# --- what was typed ---------------------------------------------------------------------------


def test_a_comment_that_is_too_long_is_kept_and_the_limit_told(house: House, study: Screen) -> None:
    film(house)

    with study(expects_refusals=True) as page:
        page.get_by_text("Comment…").click()
        field = page.get_by_label("Comment", exact=True)
        field.fill("x" * 1001)
        page.get_by_role("button", name="Save comment").click()

        expect(page.locator(".trouble-text")).to_contain_text("at most 1000 characters")
        expect(field).to_have_value("x" * 1001)
    assert house.reviews.all == []


def test_what_was_typed_stays_when_the_session_ends(house: House, study: Screen) -> None:
    film(house)

    with study(expects_refusals=True) as page:
        page.get_by_text("Comment…").click()
        field = page.get_by_label("Comment", exact=True)
        field.fill("compare with the film of May")
        session_ends(house)
        page.get_by_role("button", name="Save comment").click()

        expect(page.locator(".trouble-text")).to_contain_text("Your answer was not saved.")
        expect(page.locator(".trouble-text")).to_contain_text("Open Sightline again")
        expect(field).to_have_value("compare with the film of May")


# --- what the page tells, as it changes -------------------------------------------------------


@pytest.mark.parametrize("is_open", [False, True], ids=["at-rest", "form-open"])
def test_a_verdict_of_another_window_changes_the_sentence_for_the_report_too(
    house: House, study: Screen, is_open: bool
) -> None:
    film(house)

    with study() as page:
        agree = page.get_by_role("button", name="Agree", exact=True)
        agree.click()
        expect(page.get_by_text("Saved; being written to the chart.")).to_be_visible()
        expect(page.locator("[data-report]")).to_have_value(re.compile("clinician: agree"))
        if is_open:
            page.get_by_text("Comment…").click()
            page.get_by_label("Comment", exact=True).fill("half a th")
        else:
            page.locator("h1").click()  # nothing of the review is in use

        [agreed] = house.reviews.all
        there = {"verdict": Verdict.DISAGREE, "reason": Reason.ARTEFACT}
        house.reviews.record(replace(agreed, **there), to_chart=True)

        expect(page.get_by_text("You disagreed on")).to_be_visible()
        expect(page.locator("[data-report]")).to_have_value(re.compile("clinician: disagree"))
        expect(agree).to_have_attribute("aria-pressed", "false")
        if is_open:
            expect(page.get_by_label("Comment", exact=True)).to_have_value("half a th")


def test_a_write_that_waits_for_long_is_asked_for_ever_more_rarely(
    house: House, study: Screen
) -> None:
    film(house)
    hurry = IMPATIENT.replace("[NAME]", "look")

    with study(prepare=lambda page: page.add_init_script(hurry)) as page:
        page.get_by_role("button", name="Agree", exact=True).click()
        wait_until(page, "waits.length > 16")
        waits = page.evaluate("waits.slice(0, 17)")

    assert waits[0] == 1500 and waits[-1] == 30_000
    assert all(before < after for before, after in pairwise(waits[:10]))


def test_an_analysis_that_stands_still_is_asked_for_ever_more_rarely(
    house: House, study: Screen, tenant: Tenant, launch_of: LaunchOf
) -> None:
    job, _ = house.jobs.open("d-1", a_study(), a_patient(), "cxr_pneumonia_peds")
    lease = house.jobs.take(job.id, "worker")
    assert lease is not None
    hurry = IMPATIENT.replace("[NAME]", "poll")

    with study(prepare=lambda page: page.add_init_script(hurry)) as page:
        wait_until(page, "waits.at(-1) === 30000")
        before = page.evaluate("waits.length")
        house.jobs.advance(lease, JobStep.INFERRING)
        wait_until(page, "length => waits.slice(length).includes(1000)", before)

    assert before > 30


@pytest.mark.parametrize("is_open", [False, True], ids=["at-rest", "form-open"])
def test_a_session_that_ends_while_a_write_waits_is_told(
    house: House, study: Screen, is_open: bool
) -> None:
    film(house)

    with study(expects_refusals=True) as page:
        page.get_by_role("button", name="Agree", exact=True).click()
        expect(page.get_by_text("Saved; being written to the chart.")).to_be_visible()
        if is_open:
            page.get_by_text("Comment…").click()
            page.get_by_label("Comment", exact=True).fill("half a th")
        session_ends(house)

        if is_open:
            expect(page.locator(".trouble-text")).to_contain_text("Open Sightline again")
            expect(page.get_by_label("Comment", exact=True)).to_have_value("half a th")
        else:
            expect(page.get_by_role("heading", name="This session has ended")).to_be_visible()


def test_a_typed_place_of_one_pixel_is_told_to_be_too_small(house: House, study: Screen) -> None:
    house.keep(a_seen_result(house.instance))  # 64 x 48: the smallest place is two pixels

    with study() as page:
        marking(page)
        for name, value in (("Left", "1"), ("Top", "1"), ("Width", "1"), ("Height", "9")):
            page.get_by_label(name, exact=True).fill(value)
        page.get_by_role("button", name="Save: wrong place").click()
        said = page.get_by_label("Left", exact=True).evaluate("one => one.validationMessage")

    assert said == "The box is too small to mark a place." and house.reviews.all == []
