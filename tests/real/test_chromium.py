"""Chromium under Playwright: it lays out a page, runs its script and takes a picture of it."""

from io import BytesIO

import pytest
from PIL import Image

from tests.real.pages import chromium_page, without_errors

pytestmark = pytest.mark.real


def test_a_page_is_rendered_and_its_picture_is_not_blank() -> None:
    with chromium_page() as page:
        page.set_content("<h1 id=a>card</h1><script>a.textContent += ' shown'</script>")

        heading = page.locator("h1")
        picture = Image.open(BytesIO(page.screenshot()))

        assert heading.inner_text() == "card shown"
        darkest, lightest = picture.convert("L").getextrema()
        assert darkest == 0 and lightest == 255


ASKS_UNTIL_IT_IS_THERE = """<script>
async function ask() {
  const answer = await fetch("/data");
  if (answer.ok) document.title = "there";
  else setTimeout(ask, 50);
}
ask();
</script>"""


def test_a_load_that_went_well_at_the_second_try_is_no_error() -> None:
    answers = [503, 200]
    with chromium_page() as page:
        page.route("**/data", lambda route: route.fulfill(status=answers.pop(0)))
        page.route("**/", lambda route: route.fulfill(body=ASKS_UNTIL_IT_IS_THERE))

        with without_errors(page):
            page.goto("http://page.test/")
            page.wait_for_function("document.title === 'there'")

    assert answers == []


@pytest.mark.parametrize("script", ["fetch('/data')", "console.error('no')", "throw Error('no')"])
def test_an_error_that_nobody_made_good_is_one(script: str) -> None:
    with chromium_page() as page:
        page.route("**/data", lambda route: route.fulfill(status=503))
        page.route("**/", lambda route: route.fulfill(body=f"<script>{script}</script>"))

        with pytest.raises(AssertionError, match="reported"), without_errors(page):
            page.goto("http://page.test/", wait_until="networkidle")
