"""The app inside a chart of another site: every kind of page, and a browser that keeps no cookies.

Source: issue "Launch" (two charts side by side never mix; where no cookie is kept, a new window);
CHIPS (partitioned cookies); HTML "sandboxing".
"""

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, FrameLocator, Page, expect

from tests.e2e.hospital import Hospital
from tests.real.pages import CHROMIUM, PAGE_MS, blank_page, without_errors

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("states")]


def in_frames(page: Page, hospital: Hospital, *addresses: str) -> list[FrameLocator]:
    """Show addresses side by side in a page of the chart's site, which is not the app's."""
    frames = "".join(
        f'<iframe id="f{number}" title="App {number}" style="flex: 1; border: 0" '
        f'src="{address.replace("&", "&amp;")}"></iframe>'
        for number, address in enumerate(addresses)
    )
    hospital.frames = (
        '<!doctype html><link rel="icon" href="data:,">'
        f'<body style="margin: 0; display: flex; height: 100vh">{frames}'
    )
    page.goto(hospital.a_chart)
    return [page.frame_locator(f"#f{number}") for number in range(len(addresses))]


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with blank_page(browser, 380) as page:
        yield page


@pytest.mark.parametrize(
    ("patient", "words"),
    [
        ("p101", "signs of pneumonia"),
        ("p109", "the AI cannot tell"),
        ("p-partly", "Partly analysed"),
        ("p103", "Made for children aged 1-5"),
        ("p106", "could not be matched"),
        ("p-running", "Analysis running"),
        ("p104", "Analyse again"),
        ("p108", "No imaging study to show"),
    ],
)
def test_a_state_is_shown_in_a_chart_of_another_site(
    hospital: Hospital, page: Page, patient: str, words: str
) -> None:
    with without_errors(page):
        [app] = in_frames(page, hospital, hospital.launch(patient))

        expect(app.locator("body")).to_contain_text(words)
        wide = app.locator("html").evaluate("page => page.scrollWidth")

    assert wide <= 380


def test_the_worklist_is_used_in_a_page_of_another_site(hospital: Hospital, page: Page) -> None:
    with without_errors(page):
        [app] = in_frames(page, hospital, hospital.standalone())
        app.get_by_role("row", name="Radiology desk").get_by_role("button").click()
        expect(app.get_by_text("Overdue.", exact=True)).to_be_visible()
        assert app.locator("html").evaluate("page => page.scrollWidth") <= 380

        first = app.locator(".rows > li").first
        name = first.locator("h2").inner_text()
        first.locator("h2 a").click()
        expect(app.locator(".patient .name")).to_have_text(name)
        app.get_by_role("link", name="Back to the worklist").click()
        expect(app.get_by_text("Overdue.", exact=True)).to_be_visible()


def test_a_session_that_ended_says_so_in_its_frame(hospital: Hospital, page: Page) -> None:
    [app] = in_frames(page, hospital, hospital.launch("p101"))
    expect(app.locator(".patient .name")).to_be_visible()
    hospital.end_sessions()
    [inner] = [frame for frame in page.frames if frame.parent_frame]
    inner.goto(inner.url)

    expect(app.get_by_role("heading", name="This session has ended")).to_be_visible()


def test_two_charts_side_by_side_in_one_browser_never_mix(hospital: Hospital, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    with without_errors(page):
        charts = in_frames(page, hospital, hospital.launch("p101"), hospital.launch("p102"))
        names = []
        for app in charts:
            expect(app.locator(".patient .name")).to_be_visible()
            names.append(app.locator(".patient .name").inner_text())
        kept = page.context.cookies(hospital.base)
        for inner in [frame for frame in page.frames if frame.parent_frame]:
            inner.goto(inner.url)
        for app, name in zip(charts, names, strict=True):
            expect(app.locator(".patient .name")).to_have_text(name)

    assert len(set(names)) == 2
    sessions = [one for one in kept if "launch" not in one["name"]]
    assert len({one["name"] for one in sessions}) == len(sessions) >= 2
    partitions = {one.get("partitionKey") for one in kept}
    assert partitions == {"http://localhost"}  # the chart's site: elsewhere they are not sent


def test_a_chart_s_address_opens_nothing_outside_that_chart(hospital: Hospital, page: Page) -> None:
    [app] = in_frames(page, hospital, hospital.launch("p101"))
    expect(app.locator(".patient .name")).to_be_visible()
    [inner] = [frame for frame in page.frames if frame.parent_frame]

    alone = page.context.new_page()
    alone.goto(inner.url)

    expect(alone.get_by_role("heading", name="This session has ended")).to_be_visible()
    expect(alone.locator(".patient")).to_have_count(0)


# --- a browser that keeps no cookies --------------------------------------------------------------


@pytest.fixture
def without_cookies(browser: Browser, tmp_path: Path) -> Iterator[BrowserContext]:
    """Chromium with its own setting "block all cookies"."""
    settings = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (tmp_path / "Default").mkdir()
    (tmp_path / "Default" / "Preferences").write_text(json.dumps(settings))
    context = browser.browser_type.launch_persistent_context(
        tmp_path,
        executable_path=CHROMIUM,
        args=["--no-sandbox", "--disable-gpu", "--no-first-run"],
        viewport={"width": 380, "height": 800},
        timeout=2 * PAGE_MS,
    )
    context.set_default_timeout(PAGE_MS)
    yield context
    context.close()


def test_where_no_cookie_is_kept_the_same_launch_is_offered_in_a_new_window(
    hospital: Hospital, without_cookies: BrowserContext
) -> None:
    page = without_cookies.new_page()
    launch = hospital.launch("p101")
    [app] = in_frames(page, hospital, launch)
    link = app.get_by_role("link", name="Open in a new window")
    expect(link).to_be_visible()

    with without_cookies.expect_page() as opened:
        link.click()

    # Cookies are blocked in the new window too: it says whom to ask, and asks nobody to sign in.
    expect(opened.value.get_by_text("ask your administrator to allow cookies")).to_be_visible()
    offered = link.get_attribute("href") or ""
    assert parse_qs(urlsplit(offered).query) == parse_qs(urlsplit(launch).query)
