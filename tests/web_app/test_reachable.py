"""Everything on the study page can be reached, seen and done: by keyboard, by touch, at any size.

Source: WCAG 2.2: 1.4.10 (reflow), 1.4.11, 2.4.11 (focus not obscured), 2.5.7 (dragging), 2.5.8
(target size); Media Queries 5 "forced-colors"; WebGL 1.0, 5.15.2 (a context that is lost).
"""

from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.real.pages import wait_until
from tests.web_app.conftest import Screen
from tests.web_app.house import House, a_radiograph
from tests.web_app.test_viewer import PHONE, blocks, box, changed, greys, is_ready, keep

pytestmark = [pytest.mark.real, pytest.mark.slow]

# Where the focus is, and whether the header covers any of it. What is higher than the room under
# the header can be seen in part at most; of a long text Chromium shows the line of the caret.
FOCUS = """() => {
  const focused = document.activeElement, bar = document.querySelector(".top");
  if (focused === document.body || bar.contains(focused)) return null;
  const part = focused.getBoundingClientRect(), top = bar.getBoundingClientRect().bottom;
  const name = focused.outerHTML.slice(0, 90);
  const room = innerHeight - Math.max(0, top);
  const isSeen = part.height > room ? part.bottom > top + 24 && part.top < innerHeight - 24
    : part.top >= top - 1 && Math.min(part.bottom, part.top + 24) <= innerHeight + 1;
  return { name, isSeen };
}"""
KEEP_CONTEXTS = """window.contexts = [];
  const get = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, ...options) {
    const context = get.call(this, kind, ...options);
    if (kind === "webgl2" && context && !contexts.includes(context)) contexts.push(context);
    return context;
  };"""
LOSE = """() => contexts.filter((one) => !one.isContextLost())
  .forEach((one) => one.getExtension("WEBGL_lose_context").loseContext())"""


@pytest.fixture(autouse=True)
def a_film(house: House) -> None:
    keep(house, a_radiograph(blocks()))


@pytest.mark.parametrize("size", [(1280, 800), (360, 740), (844, 390), (320, 256)])
def test_what_tab_reaches_is_never_under_the_header(study: Screen, size: tuple[int, int]) -> None:
    with study(*size) as page:
        is_ready(page)
        page.get_by_text("Disagree…").click()
        for key in ("Tab", "Shift+Tab"):
            seen = walk(page, key)
            assert len(seen) > 20
            assert [one["name"] for one in seen if not one["isSeen"]] == []


def walk(page: Page, key: str) -> list[dict[str, Any]]:
    """Press the key until the focus has been everywhere."""
    seen: list[dict[str, Any]] = []
    for _ in range(120):
        page.keyboard.press(key)
        where = page.evaluate(FOCUS)
        if where is None and len(seen) > 20:
            break
        if where is not None:
            seen.append(where)
    return seen


def test_window_and_place_are_changed_without_a_drag(study: Screen) -> None:
    with study(360, 740, **PHONE) as page:
        is_ready(page)
        page.get_by_role("button", name="Keys").tap()
        dialog = page.get_by_role("dialog", name="Keys and gestures")
        expect(dialog).to_be_visible()
        [stage, keys] = [one.bounding_box() for one in (page.locator(".stage"), dialog)]
        assert stage is not None and keys is not None
        assert keys["y"] - max(0, stage["y"]) > 0.75 * stage["height"]  # what changes is seen
        for name in ("Brighter", "Darker", "More contrast", "Less contrast"):
            changed(page, dialog.get_by_role("button", name=name).tap)
        moves = {"left": (-40, 0), "right": (40, 0), "up": (0, -40), "down": (0, 40)}
        for side, (across, down) in moves.items():
            before = box(page)
            changed(page, dialog.get_by_role("button", name=f"Move {side}").tap)
            after = box(page)
            moved = (after[0] - before[0], after[1] - before[1])
            assert moved == pytest.approx((across, down), abs=1), side
        heights = dialog.get_by_role("button").evaluate_all(
            "all => all.map(one => one.offsetHeight)"
        )

        assert min(heights) >= 24
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


def test_a_lost_drawing_context_brings_the_preview_back_and_can_be_replaced(study: Screen) -> None:
    with study(prepare=lambda page: page.add_init_script(KEEP_CONTEXTS)) as page:
        stage = is_ready(page)
        first = greys(page)
        page.evaluate(LOSE)

        expect(page.locator(".viewer")).to_have_attribute("data-viewer", "failed")
        expect(page.get_by_role("alert").filter(has_text="viewer has stopped")).to_be_visible()
        expect(page.locator(".picture")).to_be_visible()
        expect(page.locator(".outline")).to_be_visible()
        expect(page.get_by_role("button", name="Invert")).to_be_hidden()
        expect(stage).to_have_attribute("role", "group")

        page.get_by_role("button", name="Try again").click()
        is_ready(page)
        expect(stage).to_be_focused()
        expect(page.get_by_text("viewer has stopped")).to_be_hidden()
        again = greys(page)
        changed(page, lambda: page.keyboard.press("i"))  # once: nothing listens twice
        negative = greys(page)

    assert abs(first - again).max() <= 1 and abs(first + negative - 255).max() <= 3


def test_images_that_stop_coming_are_told_with_a_way_to_try_again(study: Screen) -> None:
    lost: list[str] = []

    def lose(route: Route) -> None:
        lost.append(route.request.url)
        route.abort()

    def without_images(page: Page) -> None:
        page.route("**/images", lose, times=1)

    with study(prepare=without_images) as page:
        page.get_by_role("button", name="Try again").click()
        is_ready(page)

    assert len(lost) == 1


def test_what_is_chosen_is_seen_where_the_system_chooses_the_colours(study: Screen) -> None:
    with study(forced_colors="active") as page:
        is_ready(page)
        colours = {
            name: page.evaluate(
                "name => getComputedStyle(document.querySelector(name)).backgroundColor", name
            )
            for name in (
                '[data-drag][aria-pressed="true"]',
                '[data-drag][aria-pressed="false"]',
                ".choices input:checked + span",
                ".choices input:not(:checked) + span",
            )
        }
        pressed, bare, checked, clear = colours.values()

    assert pressed == checked != bare and checked != clear


@pytest.mark.parametrize("width", [360, 1280])
def test_every_summary_can_be_hit(study: Screen, width: int) -> None:
    with study(width) as page:
        heights = page.locator("summary:visible").evaluate_all(
            "all => all.map(one => one.getBoundingClientRect().height)"
        )

    assert len(heights) >= 4 and min(heights) >= 24


def test_a_chosen_overlay_fills_its_button_and_the_report_s_sentence_is_whole_on_a_phone(
    study: Screen,
) -> None:
    with study(360, 740, **PHONE) as page:
        is_ready(page)
        spare = page.locator(".choices label").evaluate_all(
            """all => all.map(one => {
              const [label, word] = [one, one.lastElementChild].map(
                (part) => part.getBoundingClientRect());
              return Math.max(label.width - word.width, label.height - word.height);
            })"""
        )
        beyond = page.locator(".choices").evaluate(
            """all => {
              const [whole, last] = [all, all.lastElementChild].map(
                (part) => part.getBoundingClientRect().right);
              return whole - last;
            }"""
        )
        cut = page.locator("[data-report]").evaluate("one => one.scrollHeight - one.clientHeight")

    assert max(spare) <= 1 and beyond <= 2 and cut <= 0


def test_the_legend_is_as_strong_as_the_map_and_says_what_the_outline_hides(study: Screen) -> None:
    with study() as page:
        is_ready(page)
        page.get_by_text("Heat map", exact=True).click()
        page.get_by_label("Opacity").fill("30")
        legend = page.locator(".legend img")
        expect(page.locator(".surroundings")).to_have_css("opacity", "0.3")
        expect(legend).to_have_css("opacity", "0.3")
        expect(page.get_by_text("inside the outline: most")).to_be_visible()
        half = page.locator(".legend").evaluate("one => one.offsetWidth")

        page.get_by_text("Outline", exact=True).click()
        expect(page.get_by_text("inside the outline: most")).to_be_hidden()
        whole = page.locator(".legend").evaluate("one => one.offsetWidth")

    assert (half, whole) == (36, 72)


@pytest.mark.parametrize("choice", ["Disagree…", "Wrong place…", "Comment…", "Keys", "Heat map"])
def test_at_320_pixels_nothing_scrolls_sideways(study: Screen, choice: str) -> None:
    with study(320, 640) as page:
        is_ready(page)
        if choice == "Keys":
            page.get_by_role("button", name=choice).click()
        else:
            page.get_by_text(choice, exact=True).click()
        wait_until(page, "document.readyState === 'complete'")

        assert page.evaluate("document.documentElement.scrollWidth") <= 320
