"""The app in a real browser, in a frame on another site, as an EHR shows it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from flask import Flask
from playwright.sync_api import FrameLocator, Page, Route, expect

from cds_service.domain.finding import Box
from cds_service.domain.job import JobStep
from cds_service.domain.review import WriteState
from cds_service.domain.tenant import Tenant
from tests.builders import a_patient, a_study
from tests.fakes.ledger import FakeResults
from tests.real.pages import chromium_page, without_errors
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import House, a_seen_result, listening

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that fails the test on any error the browser reports, the policy's among them."""
    with chromium_page() as page, without_errors(page):
        yield page


def in_a_frame(
    page: Page, house: House, tenant: Tenant, base: str, launch: str, width: int
) -> FrameLocator:
    """Open the launch as a chart does: in a frame as wide as the page, on another site."""
    source = f"{base}/app/launch?{urlencode({'iss': tenant.fhir_base, 'launch': launch})}"
    html = (
        '<link rel="icon" href="data:,"><body style="margin:0">'
        f'<iframe src="{source}" width={width} height=700 style="border:0">'
    )
    chart = Flask("chart")
    chart.add_url_rule("/", view_func=lambda: html)
    page.set_viewport_size({"width": width, "height": 700})
    with listening(chart) as port:
        origin = f"http://localhost:{port}"
        house.tenants.remove(tenant.id)
        house.tenants.add(replace(tenant, origins=(origin,)))
        page.goto(origin)
    return page.frame_locator("iframe")


def test_a_running_job_turns_into_its_result_without_a_reload(
    page: Page, house: House, tenant: Tenant, base: str, launch_of: LaunchOf
) -> None:
    job, _ = house.jobs.open("d-1", a_study(), a_patient(), "cxr_pneumonia_peds")
    lease = house.jobs.take(job.id, "worker")
    assert lease is not None
    app = in_a_frame(page, house, tenant, base, launch_of(job=job.id), 380)
    expect(app.get_by_text("Analysis running")).to_be_visible()
    documents: list[str] = []
    page.on(
        "request", lambda sent: documents.append(sent.url) if sent.is_navigation_request() else None
    )

    house.jobs.advance(lease, JobStep.INFERRING)
    expect(app.locator("[aria-current=step]")).to_have_text("Inferring")
    house.keep(a_seen_result(house.instance))
    house.jobs.finish(lease, "r-1")

    expect(app.get_by_text("signs of pneumonia").first).to_be_visible()
    expect(app.locator(".stage[data-picture=shown] .outline")).to_be_visible()
    assert documents == []


def test_a_moment_without_network_only_delays_the_result(
    page: Page, house: House, tenant: Tenant, base: str, launch_of: LaunchOf
) -> None:
    job, _ = house.jobs.open("d-1", a_study(), a_patient(), "cxr_pneumonia_peds")
    lease = house.jobs.take(job.id, "worker")
    assert lease is not None
    app = in_a_frame(page, house, tenant, base, launch_of(job=job.id), 380)
    expect(app.locator("[data-status]")).to_be_visible()
    lost: list[str] = []

    def lose(route: Route) -> None:
        lost.append(route.request.url)
        route.abort()

    for path in ("status", "panel"):
        page.route(f"**/{path}*", lose, times=1)

    house.keep(a_seen_result(house.instance))
    house.jobs.finish(lease, "r-1")

    expect(app.get_by_text("signs of pneumonia").first).to_be_visible()
    assert len(lost) == 2


def test_patient_date_and_label_are_seen_without_scrolling_in_a_side_panel(
    page: Page, house: House, tenant: Tenant, base: str, launch_of: LaunchOf
) -> None:
    house.keep(a_seen_result(house.instance))

    app = in_a_frame(page, house, tenant, base, launch_of(), 380)

    for words in ("Finch, Ada May", "2 Jan 2026", "Not a medical device"):
        expect(app.get_by_text(words).first).to_be_in_viewport(ratio=1)
    assert app.locator("html").evaluate("page => page.scrollWidth") <= 380


def test_the_heat_map_follows_its_slider(
    page: Page, house: House, tenant: Tenant, base: str, launch_of: LaunchOf
) -> None:
    house.keep(a_seen_result(house.instance))
    app = in_a_frame(page, house, tenant, base, launch_of(), 900)
    expect(app.locator(".outline")).to_be_visible()

    app.get_by_text("Heat map", exact=True).click()
    app.get_by_text("Outline", exact=True).click()
    app.get_by_label("Opacity").fill("80")

    expect(app.locator(".heatmap")).to_be_visible()
    expect(app.locator(".heatmap")).to_have_css("opacity", "0.8")
    expect(app.locator(".outline")).to_be_hidden()


# --- the review -------------------------------------------------------------------------------


@pytest.fixture
def reviewing(
    page: Page, house: House, tenant: Tenant, base: str, launch_of: LaunchOf
) -> FrameLocator:
    """The page of a finding in an image of 64 x 48, in a frame that is 900 wide."""
    house.keep(a_seen_result(house.instance))
    app = in_a_frame(page, house, tenant, base, launch_of(), 900)
    expect(app.locator(".stage[data-picture=shown]")).to_be_visible()
    return app


def test_a_clinician_agrees_changes_the_answer_and_takes_it_back_on_the_same_page(
    page: Page, house: House, reviewing: FrameLocator
) -> None:
    documents: list[str] = []
    page.on(
        "request", lambda sent: documents.append(sent.url) if sent.is_navigation_request() else None
    )
    reviewing.get_by_role("button", name="Agree", exact=True).dblclick()
    expect(reviewing.get_by_text("You agreed on")).to_be_visible()
    expect(reviewing.get_by_text("Saved; being written to the chart.")).to_be_visible()

    reviewing.get_by_text("Disagree…").click()
    reviewing.get_by_label("Artefact").check()
    reviewing.get_by_label("Comment, if you like").first.fill("a wire")
    reviewing.get_by_role("button", name="Save: disagree").click()
    expect(reviewing.get_by_text("You disagreed on")).to_be_visible()
    expect(reviewing.get_by_text("Your comment: a wire")).to_be_visible()

    reviewing.get_by_role("button", name="Undo").click()
    expect(reviewing.get_by_text("You took your answer back.")).to_be_visible()
    assert [one.verdict for one in house.reviews.all] == ["agree", "disagree", "withdrawn"]
    assert documents == []


def test_the_page_follows_the_way_into_the_chart_and_keeps_a_half_filled_form(
    house: House, reviewing: FrameLocator
) -> None:
    reviewing.get_by_role("button", name="Agree", exact=True).click()
    expect(reviewing.get_by_text("Saved; being written to the chart.")).to_be_visible()
    reviewing.get_by_text("Comment…").click()
    reviewing.get_by_label("Comment", exact=True).fill("half a th")

    lease = house.reviews.writes.take("r-1")
    assert lease is not None
    house.reviews.writes.settle(lease, WriteState.DONE)

    expect(reviewing.get_by_text("in the chart as final, verified by you")).to_be_visible()
    expect(reviewing.get_by_label("Comment", exact=True)).to_have_value("half a th")


def test_a_box_is_drawn_with_the_mouse_in_pixels_of_the_image(
    page: Page, house: House, reviewing: FrameLocator
) -> None:
    reviewing.get_by_text("Wrong place…").click()
    drawing = reviewing.locator(".drawing")
    expect(drawing).to_be_visible()
    drawing.scroll_into_view_if_needed()
    frame = drawing.bounding_box()
    assert frame is not None

    def to(x: float, y: float) -> tuple[float, float]:
        return frame["x"] + frame["width"] * x, frame["y"] + frame["height"] * y

    page.mouse.move(*to(0.75, 0.5))
    page.mouse.down()
    page.mouse.move(*to(0.4, 0.3), steps=4)
    page.mouse.move(*to(0.25, 0.25), steps=4)
    page.mouse.up()
    reviewing.get_by_role("button", name="Save: wrong place").click()

    expect(reviewing.get_by_text("You marked another place on")).to_be_visible()
    expect(drawing).to_have_count(0)
    assert [one.region for one in house.reviews.all] == [Box(12, 16, 24, 16)]


def test_a_box_is_moved_and_sized_with_the_keyboard_alone(
    house: House, reviewing: FrameLocator
) -> None:
    reviewing.get_by_text("Wrong place…").focus()
    reviewing.get_by_text("Wrong place…").press("Enter")
    drawing = reviewing.locator(".drawing")
    expect(drawing).to_be_visible()
    drawing.focus()

    for key in ("ArrowLeft", "ArrowLeft", "ArrowDown", "Shift+ArrowRight", "Alt+ArrowUp"):
        drawing.press(key)
    for _ in range(100):
        drawing.press("ArrowUp")  # to the edge and no further
    reviewing.get_by_label("Height", exact=True).fill("9")
    reviewing.get_by_role("button", name="Save: wrong place").press("Enter")

    expect(reviewing.get_by_text("You marked another place on")).to_be_visible()
    assert [one.region for one in house.reviews.all] == [Box(16, 0, 13, 9)]


def test_the_sentence_for_the_report_is_copied_where_the_clipboard_is_forbidden(
    page: Page, reviewing: FrameLocator
) -> None:
    """A frame of another site may not write to the clipboard by the API."""
    reviewing.get_by_role("button", name="Copy", exact=True).click()
    expect(reviewing.get_by_text("Copied.")).to_be_visible()

    reviewing.get_by_text("Comment…").click()
    field = reviewing.get_by_label("Comment", exact=True)
    field.focus()
    page.keyboard.press("Control+V")

    expect(field).to_have_value(re.compile("^AI assistance .Sightline, cxr_pneumonia_peds"))


def test_a_box_outside_the_image_is_not_sent(house: House, reviewing: FrameLocator) -> None:
    reviewing.get_by_text("Wrong place…").click()
    expect(reviewing.locator(".drawing")).to_be_visible()
    width, left = (reviewing.get_by_label(name, exact=True) for name in ("Width", "Left"))
    for name, value in (("Left", "18"), ("Top", "24"), ("Height", "16")):
        reviewing.get_by_label(name, exact=True).fill(value)

    width.fill("40")
    reviewing.get_by_role("button", name="Save: wrong place").click()

    said = left.evaluate("field => field.validationMessage")
    assert said == "The box must lie in the image of 48 x 64 pixels."
    width.fill("4")
    reviewing.get_by_role("button", name="Save: wrong place").click()
    expect(reviewing.get_by_text("You marked another place on")).to_be_visible()
    assert [one.region for one in house.reviews.all] == [Box(18, 24, 4, 16)]


def test_an_answer_that_is_not_saved_is_told_and_stays_in_the_form(
    house: House, tenant: Tenant, base: str, launch_of: LaunchOf
) -> None:
    house.keep(a_seen_result(house.instance))
    with chromium_page() as page:  # the browser itself reports a refusal as an error
        app = in_a_frame(page, house, tenant, base, launch_of(), 900)
        app.get_by_text("Comment…").click()
        field = app.get_by_label("Comment", exact=True)
        field.fill("known since 2024")
        house.swap(results=FakeResults())

        app.get_by_role("button", name="Save comment").click()

        expect(app.get_by_role("alert")).to_contain_text("Your answer was not saved.")
        expect(field).to_have_value("known since 2024")
        assert house.reviews.all == []
