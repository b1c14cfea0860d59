"""The study page of a large radiograph: until its preview is seen, and until the viewer is there.

In Chromium without a GPU, so WebGL is drawn by the CPU: the slowest machine that somebody has.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Error, Frame, sync_playwright

from benchmarks.ehr import Ehr
from benchmarks.figures import Figure, MeasurementFailed, percentile
from benchmarks.running_demo import RunningDemo
from cds_service.sandbox.radiographs import Pictures
from cds_service.sandbox.seed import PICTURES

CHROMIUM = Path("/usr/bin/chromium")
SIDE = 2048  # pixels
OPENINGS = 7  # the first one is not counted: the browser compiles the script once
PREVIEW_GOAL_S = 1.0
VIEWER_GOAL_S = 3.0
TIMEOUT_MS = 60_000
# What is drawn is on the screen with the next frame.
WATCH = """
  const seen = (name) => requestAnimationFrame(() => { window[name] = performance.now(); });
  document.addEventListener("load", (event) => {
    if (event.target.matches?.(".picture")) seen("previewMs");
  }, true);
  document.addEventListener("sightline:viewer", () => seen("viewerMs"));
"""
Times = tuple[float, float]  # s from the navigation to preview and viewer


def viewer(demo: RunningDemo) -> list[Figure]:
    """Open the same study again and again, each time in a browser that knows nothing."""
    with tempfile.TemporaryDirectory() as folder:
        ehr = Ehr(demo, demo.data / "sandbox", pictures=_large_films(Path(folder)))
        patient_id = ehr.add_patient()
    _analyse(ehr, patient_id)
    with _chromium() as browser:
        times = [_open(browser, demo, patient_id) for _ in range(OPENINGS)][1:]
    conditions = (
        f"n {len(times)}, a launch each; {SIDE} x {SIDE}, 12 bits; from the navigation to the study"
        " page to the frame that shows it; Chromium without a GPU, all on this machine"
    )
    previews, viewers = ([pair[index] for pair in times] for index in (0, 1))
    return [
        Figure(
            "page: preview with its outline, median",
            percentile(previews, 0.5),
            "s",
            PREVIEW_GOAL_S,
            conditions,
        ),
        Figure(
            "page: viewer to use, median",
            percentile(viewers, 0.5),
            "s",
            VIEWER_GOAL_S,
            conditions,
        ),
    ]


def _large_films(folder: Path) -> Pictures:
    """Enlarge the demo's pictures."""
    small = Pictures.in_folder(PICTURES)
    film = folder / "film.png"
    with Image.open(small.present[0]) as image:
        image.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(film)
    return Pictures((film,) * len(small.present), (film,) * len(small.absent))


def _analyse(ehr: Ehr, patient_id: str) -> None:
    [hook] = ehr.hook_requests(patient_id)
    ehr.send(hook)
    reader = ehr.observation_reader(patient_id)
    deadline = time.monotonic() + TIMEOUT_MS / 1000
    while not reader.finds_any():
        if time.monotonic() > deadline:
            raise MeasurementFailed("the large radiograph was not analysed")
        time.sleep(0.1)


@contextmanager
def _chromium() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        raise MeasurementFailed("Chromium is not installed (apt-get install chromium)")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        try:
            yield browser
        finally:
            browser.close()


def _open(browser: Browser, demo: RunningDemo, patient_id: str) -> Times:
    context = browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(TIMEOUT_MS)
    context.add_init_script(WATCH)
    page = context.new_page()
    try:
        page.goto(f"{demo.chart}/chart/{patient_id}")
        page.locator("[data-launch]").first.click()
        page.frame_locator("#frame").locator(".viewer[data-viewer=ready]").wait_for()
        frame = page.frame("activity")
        if frame is None:
            raise MeasurementFailed("the chart shows no app")
        return _times(frame)
    except Error as error:
        raise MeasurementFailed(f"the page was not shown: {error.message}") from error
    finally:
        context.close()


def _times(frame: Frame) -> Times:
    frame.wait_for_function("() => window.viewerMs")
    preview, shown = frame.evaluate("() => [window.previewMs, window.viewerMs]")
    return float(preview) / 1000, float(shown) / 1000
