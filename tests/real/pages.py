"""A headless Chromium for tests, and what its pages must not report.

Source: Debian's package of Chromium, driven by Playwright.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Frame,
    Page,
    Response,
    expect,
    sync_playwright,
)

from tests.real.servers import require

CHROMIUM = Path("/usr/bin/chromium")
PAGE_MS = 60_000  # Playwright's own is 5 s for what is expected, half a minute for what is done
# An image may still be on its way when the page around it is there.
DECODED_WIDTH = "image => image.decode().then(() => image.naturalWidth)"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run a headless Chromium. One at a time in a process: Playwright allows no second."""
    require("Chromium", CHROMIUM.exists(), "apt-get install chromium")
    quiet = [
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    expect.set_options(timeout=PAGE_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=quiet, timeout=2 * PAGE_MS
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def blank_page(browser: Browser, width: int = 1280, height: int = 800) -> Iterator[Page]:
    """Open a page with a profile of its own."""
    context = browser.new_context(viewport={"width": width, "height": height})
    context.set_default_timeout(PAGE_MS)
    try:
        yield context.new_page()
    finally:
        context.close()


@contextmanager
def chromium_page() -> Iterator[Page]:
    """Open a blank page in a headless Chromium."""
    with chromium() as browser, blank_page(browser) as page:
        yield page


def wait_until(frame: Frame | Page, expression: str, arg: object = None) -> None:
    """Return once the JavaScript expression holds.

    After its first look Playwright's wait_for_function evaluates in the page itself, which our
    policy (no unsafe-eval) refuses: it works only where there is nothing to wait for.
    """
    deadline = time.monotonic() + PAGE_MS / 1000
    while not frame.evaluate(expression, arg):
        assert time.monotonic() < deadline, f"never came to be: {expression}"
        frame.wait_for_timeout(50)


@contextmanager
def without_errors(page: Page) -> Iterator[None]:
    """Fail at the end on any error that the browser reported, the policy's among them.

    A load that failed is none if the page tried the same address again and got it: that is how
    our pages meet a moment without network.
    """
    errors: list[str] = []
    failed_loads: dict[str, str] = {}

    def on_console(said: ConsoleMessage) -> None:
        if said.type != "error":
            return
        if said.text.startswith("Failed to load resource"):
            failed_loads[said.location["url"]] = f"{said.text} {said.location['url']}"
        else:
            errors.append(said.text)

    def on_response(answer: Response) -> None:
        if answer.ok:
            failed_loads.pop(answer.url, None)

    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", on_console)
    page.on("response", on_response)
    yield
    reported = [*errors, *failed_loads.values()]
    assert not reported, f"the browser reported {reported}"
