"""The pages in five scripts, on a desktop and on a phone: they fit, and axe finds nothing."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from cds_service.domain.tenant import Tenant
from smart_app.catalogues import LANGUAGES
from tests.real.pages import chromium_page, without_errors
from tests.real.servers import require
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import House, a_radiograph, a_seen_result

pytestmark = [pytest.mark.real, pytest.mark.slow]

in_every_script = pytest.mark.parametrize("code", ["de", "ja", "ar", "hi", "ko"])


@pytest.fixture
def page() -> Iterator[Page]:
    """A page that fails the test on any error the browser reports."""
    with chromium_page() as page, without_errors(page):
        yield page


def require_font(code: str) -> None:
    """Without one the page is all boxes of one width, which tell nothing of how it fits."""
    fonts = shutil.which("fc-list") and subprocess.check_output(
        ["fc-list", f":lang={code}", "family"], text=True
    )
    require(f"a font for {code}", bool(fonts), "apt-get install fonts-noto-core fonts-noto-cjk")


@in_every_script
def test_the_study_page_fits_in_every_script(
    house: House, page: Page, base: str, tenant: Tenant, launch_of: LaunchOf, code: str
) -> None:
    require_font(code)
    house.keep(a_seen_result(a_radiograph()))
    page.goto(f"{base}/app/launch?iss={tenant.fhir_base}&launch={launch_of()}&language={code}")
    page.wait_for_url("**/app/l/**", timeout=60_000)
    page.get_by_role("combobox").select_option(code)
    page.locator(".languages button").click()

    language = LANGUAGES[code]
    expect(page.locator("html")).to_have_attribute("lang", language.tag, timeout=60_000)
    expect(page.locator("html")).to_have_attribute("dir", language.direction)
    expect(page.locator(".picture")).to_have_js_property("complete", True, timeout=60_000)
    for width in (1280, 380):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert Axe().run(page).response["violations"] == []


@in_every_script
@pytest.mark.parametrize("address", ["/app/models/cxr_pneumonia_peds", "/app/"])
def test_the_pages_without_a_chart_fit_in_every_script(
    page: Page, base: str, code: str, address: str
) -> None:
    require_font(code)
    page.goto(f"{base}/app/?language={code}")
    page.goto(f"{base}{address}")

    expect(page.locator("html")).to_have_attribute("lang", LANGUAGES[code].tag, timeout=60_000)
    for width in (1280, 380):
        page.set_viewport_size({"width": width, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert Axe().run(page).response["violations"] == []
