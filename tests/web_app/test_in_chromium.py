"""The app in a real browser, in a frame on another site, as an EHR shows it."""

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import urlencode

import pytest
from flask import Flask
from playwright.sync_api import FrameLocator, Page, Route, expect

from cds_service.domain.job import JobStep
from cds_service.domain.tenant import Tenant
from cds_service.sandbox.parts import Sandbox
from tests.builders import a_patient, a_study
from tests.real.pages import chromium_page, without_errors
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import PUBLIC_URL, House, a_seen_result, listening, register_app

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that fails the test on any error the browser reports, the policy's among them."""
    with chromium_page() as page, without_errors(page):
        yield page


@pytest.fixture
def base(house: House, sandbox: Sandbox) -> Iterator[str]:
    """Where the app listens: on 127.0.0.1, while the EHR is on localhost."""
    with listening(house.app) as port:
        address = f"http://127.0.0.1:{port}"
        house.swap(public_url=address)
        register_app(sandbox, address)
        yield address
    register_app(sandbox, PUBLIC_URL)


def in_a_frame(
    page: Page, house: House, tenant: Tenant, base: str, launch: str, width: int
) -> FrameLocator:
    """Open the launch as a chart does: in a frame as wide as the page, on another site."""
    source = f"{base}/app/launch?{urlencode({'iss': tenant.fhir_base, 'launch': launch})}"
    html = (
        '<link rel="icon" href="data:,"><body style="margin:0">'
        f'<iframe src="{source}" width={width} height=700>'
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
    app.get_by_label("Opacity").fill("80")

    expect(app.locator(".heatmap")).to_be_visible()
    expect(app.locator(".heatmap")).to_have_css("opacity", "0.8")
    expect(app.locator(".outline")).to_be_hidden()


def test_a_clinician_agrees_and_changes_the_answer(
    page: Page, house: House, tenant: Tenant, base: str, launch_of: LaunchOf
) -> None:
    house.keep(a_seen_result(house.instance))
    app = in_a_frame(page, house, tenant, base, launch_of(), 900)

    app.get_by_role("button", name="Agree", exact=True).click()
    expect(app.get_by_text("You agreed on")).to_be_visible()
    app.get_by_role("button", name="Disagree").click()

    expect(app.get_by_text("You disagreed on")).to_be_visible()
    assert [review.verdict for review in house.reviews.all] == ["agree", "disagree"]
