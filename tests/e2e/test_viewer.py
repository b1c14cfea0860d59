"""The viewer in the demo's chart: real archive, real web processes, in a frame of another site.

What each tool does is tested in `tests/web_app/test_viewer.py`.
"""

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.e2e.running_demo import Demo
from tests.e2e.test_demo import frame_after, open_chart

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
