"""Chromium under Playwright: it lays out a page, runs its script and takes a picture of it."""

from io import BytesIO

import pytest
from PIL import Image

from tests.real.pages import chromium_page

pytestmark = pytest.mark.real


def test_a_page_is_rendered_and_its_picture_is_not_blank() -> None:
    with chromium_page() as page:
        page.set_content("<h1 id=a>card</h1><script>a.textContent += ' shown'</script>")

        heading = page.locator("h1")
        picture = Image.open(BytesIO(page.screenshot()))

        assert heading.inner_text() == "card shown"
        darkest, lightest = picture.convert("L").getextrema()
        assert darkest == 0 and lightest == 255
