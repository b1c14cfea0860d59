"""The viewer in the demo's chart: real archive, real web processes, in a frame of another site.

What each tool does, and what is seen of several series and frames, is tested in
`tests/web_app/test_viewer.py`.
"""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.e2e.running_demo import Demo
from tests.e2e.test_demo import frame_after, open_chart
from tests.real.pages import wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("e2e")]


def test_a_clinician_windows_a_film_of_the_chart(page: Page, demo: Demo) -> None:
    open_chart(page, demo, "p101")  # its card may be gone: other tests review the finding
    app = frame_after(page, page.get_by_role("button", name="Open in Sightline").first)
    stage = app.locator(".stage")
    expect(app.locator(".viewer")).to_have_attribute("data-viewer", "ready")

    app.get_by_text("Image only", exact=True).click()
    before = np.asarray(Image.open(BytesIO(stage.screenshot())).convert("L")).astype(int)
    app.get_by_role("button", name="Invert").click()
    expect(app.get_by_role("button", name="Invert")).to_have_attribute("aria-pressed", "true")
    after = np.asarray(Image.open(BytesIO(stage.screenshot())).convert("L")).astype(int)

    assert before.std() > 30  # of 256 grey levels
    rows, columns = before.shape
    # Inside the film, above the text in the corner.
    middle = np.s_[rows // 4 : rows * 3 // 4, columns * 2 // 5 : columns * 3 // 5]
    assert np.abs(before[middle] + after[middle] - 255).mean() < 6


def test_the_sides_of_the_patient_stand_at_the_edges_of_a_film(page: Page, demo: Demo) -> None:
    open_chart(page, demo, "p101")
    app = frame_after(page, page.get_by_role("button", name="Open in Sightline").first)
    expect(app.locator(".viewer")).to_have_attribute("data-viewer", "ready")

    for edge, letter in (("left", "R"), ("right", "L"), ("top", "H"), ("bottom", "F")):
        expect(app.locator(f".stage [data-edge={edge}]:visible")).to_have_text(letter)


def test_a_whole_image_stays_whole_in_a_side_panel_and_back(page: Page, demo: Demo) -> None:
    open_chart(page, demo, "p101")
    app = frame_after(page, page.get_by_role("button", name="Open in Sightline").first)
    expect(app.locator(".viewer")).to_have_attribute("data-viewer", "ready")
    fits = """() => {
      const [stage, image] = [".stage", ".stack"].map((name) =>
        document.querySelector(name).getBoundingClientRect());
      const slack = [stage.width - image.width, stage.height - image.height];
      return Math.abs(Math.min(...slack)) < 2 && innerWidth [WIDTH];
    }"""

    page.get_by_role("button", name="Side panel").click()
    wait_until(app, fits.replace("[WIDTH]", "< 450"))
    page.get_by_role("button", name="Side panel").click()
    wait_until(app, fits.replace("[WIDTH]", "> 600"))

    expect(app.locator("[data-shown=zoom]")).to_have_text("100")


def test_an_earlier_film_is_compared_at_one_scale(page: Page, demo: Demo) -> None:
    open_chart(page, demo, "p107")
    app = frame_after(page, page.get_by_role("button", name="Open in Sightline").first)

    app.get_by_role("link", name="Compare").click()

    expect(app.get_by_text("Both images are at one scale")).to_be_visible()
    expect(app.locator(".ruler:visible")).to_have_count(2)
    expect(app.locator(".side-by-side .bar")).to_have_count(2)
