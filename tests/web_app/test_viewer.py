"""The viewer in a real browser: a build counts when Chromium has drawn a known image with it.

Source: issue "Study view"; CSP Level 3; ADR 0008.
"""

import re
from base64 import b64decode
from collections.abc import Callable
from datetime import timedelta
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, Route, expect
from pydicom.uid import EnhancedXAImageStorage

from cds_service.domain.instance_digest import instance_digest
from tests.builders import a_finding, a_result, an_analysis
from tests.fakes.imaging import STUDY_UID, FakeArchive
from tests.real.pages import wait_until
from tests.unit.imaging.dicom import a_film, as_file
from tests.web_app.conftest import Screen
from tests.web_app.house import House, a_radiograph, a_seen_result, a_warm_map

pytestmark = [pytest.mark.real, pytest.mark.slow]

TOLERANCE = 3  # of 256 grey levels
BLOCKS = 8  # a side
WITHOUT_WEBGL = """const get = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, ...options) {
    return kind.startsWith("webgl") ? null : get.call(this, kind, ...options);
  };"""


def blocks(rows: int = 1024, columns: int = 896) -> np.ndarray:
    """A film of even squares, each of another grey; no two neighbours are alike."""
    values = (np.arange(BLOCKS * BLOCKS) * 23 % 64 * 60 + 100).reshape(BLOCKS, BLOCKS)
    film = np.kron(values, np.ones((rows // BLOCKS, columns // BLOCKS)))
    return film + np.linspace(0, 20, columns)  # even rows would not pass as a radiograph


def is_ready(page: Page) -> Locator:
    """Wait until the viewer has taken the preview's place; return the stage."""
    expect(page.locator(".viewer")).to_have_attribute("data-viewer", "ready")
    return page.locator(".stage")


def drawn(page: Page) -> np.ndarray:
    """Return the pixels of the viewer's own canvas, (rows, columns), 0..255."""
    address = page.locator(".canvas canvas").evaluate("canvas => canvas.toDataURL('image/png')")
    png = b64decode(address.partition(",")[2])
    return np.asarray(Image.open(BytesIO(png)).convert("L")).astype(int)


def greys(page: Page, at: tuple[float, float, float, float] | None = None) -> np.ndarray:
    """Return the grey in the middle of each block of the film drawn there."""
    canvas = drawn(page)
    left, top, width, height = at or box(page)
    return np.array(
        [
            [
                canvas[
                    int(top + height * (row + 0.5) / BLOCKS),
                    int(left + width * (column + 0.5) / BLOCKS),
                ]
                for column in range(BLOCKS)
            ]
            for row in range(BLOCKS)
        ]
    )


def box(page: Page) -> tuple[float, float, float, float]:
    """Return where the overlays lie on the stage: left, top, width, height."""
    found = page.evaluate(
        """() => {
          const stage = document.querySelector(".stage").getBoundingClientRect();
          const box = document.querySelector(".stack").getBoundingClientRect();
          return [box.left - stage.left, box.top - stage.top, box.width, box.height];
        }"""
    )
    return (found[0], found[1], found[2], found[3])


def expected(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return the greys of the blocks in a window."""
    step_down, step_across = values.shape[0] // BLOCKS, values.shape[1] // BLOCKS
    middles = values[step_down // 2 :: step_down, step_across // 2 :: step_across]
    return np.clip((middles - low) / (high - low) * 255, 0, 255)


def keep(house: House, film: bytes) -> None:
    house.swap(archive=FakeArchive({STUDY_UID: [film]}))
    house.keep(a_seen_result(film))


def picture_of(part: Locator) -> np.ndarray:
    """Return what a person sees of a part, (rows, columns), 0..255."""
    return np.asarray(Image.open(BytesIO(part.screenshot())).convert("L")).astype(int)


def window_of(values: np.ndarray) -> tuple[float, float]:
    low, high = np.percentile(values[::2, ::2], (0.5, 99.5))
    return float(low), float(high)


def changed(page: Page, act: Callable[[], object]) -> tuple[np.ndarray, np.ndarray]:
    """Act; return the canvas before, and after once it is another."""
    before = drawn(page)
    read = "canvas => canvas.toDataURL('image/png')"
    address = page.locator(".canvas canvas").evaluate(read)
    act()
    wait_until(
        page,
        "old => document.querySelector('.canvas canvas').toDataURL('image/png') !== old",
        address,
    )
    return before, drawn(page)


# --- the image --------------------------------------------------------------------------------


def test_chromium_draws_the_known_frame(house: House, study: Screen) -> None:
    values = blocks().astype("<u2").astype(float)
    keep(house, a_radiograph(values))

    with study() as page:
        is_ready(page)
        seen = greys(page)

    assert np.abs(seen - expected(values, *window_of(values))).max() <= TOLERANCE


def test_a_film_of_other_units_and_polarity_is_drawn_bright_is_bright(
    house: House, study: Screen
) -> None:
    values = blocks().astype("<u2")
    film = a_film(
        values, PhotometricInterpretation="MONOCHROME1", RescaleSlope="0.5", RescaleIntercept="-9.5"
    )
    keep(house, as_file(film))

    with study() as page:
        is_ready(page)
        seen = greys(page)
        width = int(page.locator("[data-shown=width]").inner_text())

    negative = (values.max() + values.min() - values).astype(float)
    low, high = window_of(negative)
    assert np.abs(seen - expected(negative, low, high)).max() <= TOLERANCE
    assert width == pytest.approx((high - low) / 2, abs=2)


@pytest.mark.parametrize("size", [(1280, 800), (380, 800)])
def test_the_viewer_takes_the_place_of_the_preview_without_a_jump(
    house: House, study: Screen, size: tuple[int, int]
) -> None:
    keep(house, a_radiograph(blocks()))
    places = """() => [...document.querySelectorAll(".stage, .stack, .outline, .review")]
      .flatMap(part => Object.values(part.getBoundingClientRect().toJSON()))"""

    held: list[Route] = []
    hold = held.append
    with study(*size, prepare=lambda page: page.route("**/images", lambda it: hold(it))) as page:
        with page.expect_request("**/images"):
            page.reload()
        expect(page.locator(".stage")).to_have_attribute("data-picture", "shown")
        before, preview = page.evaluate(places), picture_of(page.locator(".stage"))
        held[-1].continue_()
        stage = is_ready(page)
        after, viewer = page.evaluate(places), picture_of(stage)

    assert after == pytest.approx(before, abs=1.0)
    assert np.abs(preview - viewer)[:-40].mean() < TOLERANCE  # the last rows tell the window


def test_oblong_pixels_keep_the_shape_of_the_body(house: House, study: Screen) -> None:
    keep(house, as_file(a_film(blocks(512, 896).astype("<u2"), PixelSpacing=[0.4, 0.2])))

    with study() as page:
        is_ready(page)
        _, _, width, height = box(page)

    assert width / height == pytest.approx(896 * 0.2 / (512 * 0.4), rel=0.01)


# --- the tools --------------------------------------------------------------------------------


def test_a_drag_changes_the_window_and_reset_brings_it_back(house: House, study: Screen) -> None:
    values = blocks()
    keep(house, a_radiograph(values))

    with study() as page:
        stage = is_ready(page)
        first = greys(page)
        shown = page.locator("[data-shown=width]").inner_text()
        before, after = changed(page, lambda: drag(page, stage, (200, 0)))
        wider = int(page.locator("[data-shown=width]").inner_text())
        changed(page, page.get_by_role("button", name="Reset").click)
        again = greys(page)

    assert np.abs(before - after).mean() > TOLERANCE
    assert wider > int(shown)
    assert np.abs(first - again).max() <= 1


def drag(page: Page, stage: Locator, by: tuple[float, float], button: Any = "left") -> None:
    frame = stage.bounding_box()
    assert frame is not None
    x, y = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down(button=button)
    page.mouse.move(x + by[0], y + by[1], steps=5)
    page.mouse.up(button=button)


def test_invert_shows_the_negative(house: House, study: Screen) -> None:
    keep(house, a_radiograph(blocks()))

    with study() as page:
        is_ready(page)
        first = greys(page)
        button = page.get_by_role("button", name="Invert")
        changed(page, button.click)
        negative = greys(page)
        expect(button).to_have_attribute("aria-pressed", "true")

    assert np.abs(first + negative - 255).max() <= TOLERANCE


def test_image_and_outline_move_and_grow_together(house: House, study: Screen) -> None:
    keep(house, a_radiograph(blocks()))

    with study() as page:
        stage = is_ready(page)
        _, _, width, height = box(page)
        changed(page, page.get_by_role("button", name="Zoom in").click)
        grown = box(page)
        page.get_by_role("button", name="Move").click()
        changed(page, lambda: drag(page, stage, (60, -30)))
        moved = box(page)
        seen = drawn(page)

    assert (grown[2], grown[3]) == pytest.approx((width * 1.25, height * 1.25), abs=1)
    assert (moved[0] - grown[0], moved[1] - grown[1]) == pytest.approx((60, -30), abs=1)
    # Where the overlay says that the film ends, the canvas is black.
    edge = int(moved[0])
    assert seen[300, : edge - 2].max() == 0 and seen[300, edge + 3 : edge + 40].max() > 0


def test_ctrl_and_wheel_zoom_where_the_pointer_is_and_the_bare_wheel_scrolls_the_page(
    house: House, study: Screen
) -> None:
    keep(house, a_radiograph(blocks()))

    with study(height=500) as page:
        stage = is_ready(page)
        frame = stage.bounding_box()
        assert frame is not None
        page.mouse.move(frame["x"] + 300, frame["y"] + 120)
        left, top, width, height = box(page)
        page.keyboard.down("Control")
        changed(page, lambda: page.mouse.wheel(0, -200))
        page.keyboard.up("Control")
        after = box(page)
        scrolled = page.evaluate("scrollY")
        page.mouse.wheel(0, 120)
        wait_until(page, "scrollY > 0")

    assert scrolled == 0 and after[2] > width * 1.2
    assert (300 - after[0]) / after[2] == pytest.approx((300 - left) / width, abs=0.01)
    assert (120 - after[1]) / after[3] == pytest.approx((120 - top) / height, abs=0.01)


def test_everything_works_by_keyboard(house: House, study: Screen) -> None:
    keep(house, a_radiograph(blocks()))

    with study() as page:
        stage = is_ready(page)
        stage.focus()
        for key in ("i", "ArrowUp", "ArrowDown", ".", ",", "+", "-", "+", "Shift+ArrowLeft"):
            before, after = changed(page, lambda key=key: page.keyboard.press(key))  # type: ignore[misc]
            assert np.abs(before - after).max() > 0, key
        page.keyboard.press("r")
        expect(page.locator("[data-shown=zoom]")).to_have_text("100")
        page.keyboard.press("h")
        expect(page.locator(".surroundings")).to_be_visible()
        page.keyboard.press("n")
        expect(page.locator(".overlay:visible")).to_have_count(0)
        stage.focus()
        page.keyboard.press("o")
        expect(page.locator(".outline")).to_be_visible()


def test_the_keys_are_told_on_the_page_and_to_a_screen_reader(house: House, study: Screen) -> None:
    keep(house, a_radiograph(blocks()))

    with study() as page:
        stage = is_ready(page)
        stage.focus()
        page.keyboard.press("?")
        dialog = page.get_by_role("dialog", name="Keys and gestures")
        expect(dialog).to_be_visible()
        expect(dialog).to_contain_text("Brighter")
        expect(dialog).not_to_contain_text("Swipe")
        page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
        expect(stage).to_have_accessible_name("Image viewer")
        expect(stage).to_have_accessible_description(
            re.compile("The image in which pneumonia was most probable.*Brighter")
        )
        unnamed = page.locator(".viewer button").evaluate_all(
            "all => all.filter(one => !(one.ariaLabel || one.textContent.trim())).length"
        )

    assert unnamed == 0


def test_a_box_is_drawn_over_an_enlarged_image_in_pixels_of_the_image(
    house: House, study: Screen
) -> None:
    keep(house, a_radiograph(blocks()))

    with study() as page:
        stage = is_ready(page)
        changed(page, page.get_by_role("button", name="Zoom in").click)
        page.locator("details[data-place] summary").click()
        expect(page.locator(".drawing")).to_be_visible()
        window = page.locator("[data-shown=width]").inner_text()
        drag(page, stage, (80, 60))
        left, top, width, _ = box(page)
        frame = stage.bounding_box()
        assert frame is not None
        drawn_at = [
            float(page.locator(f"details[data-place] input[name={side}]").input_value())
            for side in ("left", "top", "width", "height")
        ]
        unmoved = page.locator("[data-shown=width]").inner_text() == window

    scale = 896 / width
    start = (frame["width"] / 2 - left) * scale, (frame["height"] / 2 - top) * scale
    assert drawn_at == pytest.approx([*start, 80 * scale, 60 * scale], abs=2)
    assert unmoved  # who draws does not window


def test_the_slider_changes_how_much_of_the_heat_map_shows(house: House, study: Screen) -> None:
    keep(house, a_radiograph(blocks()))

    with study() as page:
        stage = is_ready(page)
        page.get_by_text("Outline", exact=True).click()
        page.get_by_text("Heat map", exact=True).click()
        expect(page.locator(".heatmap")).to_be_visible()
        page.get_by_label("Opacity").fill("10")
        faint = picture_of(stage)
        page.get_by_label("Opacity").fill("90")
        expect(page.locator(".heatmap")).to_have_css("opacity", "0.9")
        strong = picture_of(stage)
        page.get_by_text("Image only", exact=True).click()
        bare = picture_of(stage)

    assert 0 < np.abs(faint - bare).mean() < np.abs(strong - bare).mean()


def test_outline_and_heat_map_are_switched_each_by_itself(house: House, study: Screen) -> None:
    keep(house, a_radiograph(blocks()))

    with study() as page:
        is_ready(page)
        outline, whole, around = (
            page.locator(f".overlay.{name}") for name in ("outline", "heatmap", "surroundings")
        )
        choices = page.get_by_role("group", name="What is drawn over the image")
        expect(choices.get_by_role("checkbox", name="Outline")).to_be_checked()
        expect(page.locator(".overlay:visible")).to_have_count(
            1
        )  # nothing over the lesion at first

        page.get_by_text("Heat map", exact=True).click()
        expect(outline).to_be_visible()
        expect(around).to_be_visible()
        expect(whole).to_be_hidden()
        expect(page.locator(".viewer")).to_contain_text("The heat map leaves it clear.")
        page.get_by_text("Outline", exact=True).click()
        expect(whole).to_be_visible()
        expect(outline).to_be_hidden()
        page.get_by_text("Image only", exact=True).click()
        expect(page.locator(".overlay:visible")).to_have_count(0)
        expect(choices.get_by_role("checkbox", name="Heat map")).not_to_be_checked()


# --- the size of the panel --------------------------------------------------------------------


def test_a_whole_image_stays_whole_when_the_panel_changes_its_width(
    house: House, study: Screen
) -> None:
    keep(house, a_radiograph(blocks()))

    with study(380, 800) as page:
        stage = is_ready(page)
        page.set_viewport_size({"width": 1280, "height": 900})
        expect(page.locator("[data-shown=zoom]")).to_have_text("100")
        wait_until(page, "document.querySelector('.stack').offsetHeight > 600")
        _, top, _, height = box(page)
        frame = stage.bounding_box()
        page.set_viewport_size({"width": 380, "height": 800})
        wait_until(page, "document.querySelector('.stack').offsetHeight < 380")
        again = box(page)

    assert frame is not None
    assert (top, height) == pytest.approx((0, frame["height"]), abs=1)
    assert again[0] >= -1 and again[2] <= 380
    assert again[2] / again[3] == pytest.approx(896 / 1024, rel=0.01)


def test_an_enlarged_image_stays_as_much_enlarged_in_a_wider_panel(
    house: House, study: Screen
) -> None:
    keep(house, a_radiograph(blocks()))

    with study(380, 800) as page:
        stage = is_ready(page)
        for _ in range(3):
            changed(page, page.get_by_role("button", name="Zoom in").click)
        stage.focus()
        changed(page, lambda: page.keyboard.press("Shift+ArrowLeft"))
        narrow, seen = page.locator("[data-shown=zoom]").inner_text(), middle_of(page, stage)
        page.set_viewport_size({"width": 1280, "height": 900})
        wait_until(page, "document.querySelector('.stack').offsetHeight > 1200")

        assert page.locator("[data-shown=zoom]").inner_text() == narrow == "195"
        assert middle_of(page, stage) == pytest.approx(seen, abs=0.01)


def middle_of(page: Page, stage: Locator) -> tuple[float, float]:
    """Return the point of the image in the middle of the stage, in shares of the image."""
    left, top, width, height = box(page)
    frame = stage.bounding_box()
    assert frame is not None
    return (frame["width"] / 2 - left) / width, (frame["height"] / 2 - top) / height


# --- the earlier image beside it ---------------------------------------------------------------


class TwoStudies(FakeArchive):
    """An archive of an earlier study and this one, of films with these spacings."""

    def __init__(self, earlier: list[float] | None, now: list[float] | None) -> None:
        self.films = {
            uid: as_file(a_film(blocks(512, columns).astype("<u2"), PixelSpacing=spacing))
            for uid, columns, spacing in (("1.2.old", 448, earlier), (STUDY_UID, 256, now))
        }
        super().__init__({uid: [film] for uid, film in self.films.items()})

    def results(self) -> list[Any]:
        day = a_result().study_started
        older = {"id": "old", "key": "old", "study_uid": "1.2.old"}
        older |= {"study_started": day - timedelta(days=90)}
        return [
            a_seen_result(self.films["1.2.old"], **older),
            a_seen_result(self.films[STUDY_UID]),
        ]

    def instance(self, tenant: Any, study: Any, series_uid: str, sop_uid: str) -> bytes:
        return self.films[study.study_uid]


def compare(house: House, page: Page, films: TwoStudies) -> None:
    """Open the earlier study beside this one, and wait until both are seen."""
    house.swap(archive=films)
    house.keep(*films.results())
    page.reload()
    page.get_by_role("link", name="Compare").click()
    expect(page.locator(".shot")).to_have_count(2)
    for shot in page.locator(".shot").all():
        expect(shot).to_have_js_property("complete", True)


@pytest.mark.parametrize("width", [1280, 380])
def test_an_earlier_image_is_shown_at_the_scale_of_this_one(
    house: House, study: Screen, width: int
) -> None:
    films = TwoStudies([0.5, 0.5], [0.7, 0.7])  # 224 and 179.2 mm wide

    with study(width) as page:
        compare(house, page, films)
        expect(page.get_by_text("Both images are at one scale")).to_be_visible()
        expect(page.get_by_text("Both images are shown at the same width")).to_be_hidden()
        boxes = [shot.bounding_box() for shot in page.locator(".shot").all()]
        rulers = [ruler.bounding_box() for ruler in page.locator(".ruler").all()]

    shown = [box["width"] for box in boxes]
    assert shown[0] / shown[1] == pytest.approx(224 / 179.2, rel=0.01)
    assert [one["width"] for one in rulers] == pytest.approx([shown[0] * 50 / 224] * 2, abs=1)


def test_an_image_without_its_spacing_is_not_called_true_to_scale(
    house: House, study: Screen
) -> None:
    films = TwoStudies(None, [0.7, 0.7])

    with study() as page:
        compare(house, page, films)
        page.wait_for_load_state("networkidle")
        expect(page.get_by_text("Both images are shown at the same width")).to_be_visible()
        expect(page.get_by_text("Both images are at one scale")).to_be_hidden()
        expect(page.locator(".ruler:visible")).to_have_count(0)
        boxes = [shot.bounding_box() for shot in page.locator(".shot").all()]

    assert boxes[0]["width"] == pytest.approx(boxes[1]["width"], abs=1)


# --- several images ---------------------------------------------------------------------------


class Series(FakeArchive):
    """An archive of three films in two series, each even but for one block."""

    def __init__(self) -> None:
        self.by_uid = {}
        for number, (series, count) in enumerate(((1, 1), (1, 2), (2, 1))):
            values = blocks(512, 448)
            values[:64, :56] = 1000 * (number + 1)
            uid = f"1.2.840.99999.1.{series}.{count}"
            film = a_film(
                values.astype("<u2"),
                SOPInstanceUID=uid,
                SeriesInstanceUID=f"1.2.840.99999.1.{series}",
                SeriesNumber=series,
                InstanceNumber=count,
                ViewPosition=("AP", "PA", "LL")[number],
                PatientOrientation=(None, ["L", "F"], ["A", "F"])[number],
            )
            self.by_uid[uid] = as_file(film)
        super().__init__({STUDY_UID: list(self.by_uid.values())})

    def instance(self, tenant: object, study: object, series_uid: str, sop_uid: str) -> bytes:
        return self.by_uid[sop_uid]

    def result(self) -> Any:
        digests = tuple(sorted(instance_digest(one) for one in self.by_uid.values()))
        finding = a_finding(sop_uid="1.2.840.99999.1.1.2", activation=a_warm_map())
        return a_result(analysis=an_analysis(findings=(finding,), instance_digests=digests))


@pytest.fixture
def series(house: House) -> Series:
    archive = Series()
    house.swap(archive=archive)
    house.keep(archive.result())
    return archive


def place(page: Page) -> Locator:
    return page.locator(".place")


@pytest.mark.usefixtures("series")
def test_keys_wheel_and_buttons_go_through_series_and_images(study: Screen) -> None:
    with study() as page:
        stage = is_ready(page)
        expect(place(page)).to_have_text("Image 2 of 3 PA Series 1 of 2")  # where the finding is
        expect(page.locator(".outline")).to_be_visible()
        film = box(page)
        stage.focus()
        changed(page, lambda: page.keyboard.press("ArrowRight"))
        expect(place(page)).to_have_text("Image 3 of 3 LL Series 2 of 2")
        expect(page.locator(".outline")).to_be_hidden()
        changed(page, lambda: page.keyboard.press("PageUp"))
        expect(place(page)).to_contain_text("Image 1 of 3 AP")
        stage.hover()
        changed(page, lambda: page.mouse.wheel(0, 100))
        expect(place(page)).to_contain_text("Image 2 of 3 PA")
        changed(page, page.get_by_role("button", name="Previous image").click)
        expect(place(page)).to_contain_text("Image 1 of 3 AP")
        first = greys(page, film)[0, 0]
        changed(page, lambda: page.keyboard.press("PageDown"))
        expect(place(page)).to_contain_text("Image 3 of 3 LL")
        third = greys(page, film)[0, 0]
        changed(page, page.get_by_role("button", name="Previous series").click)
        expect(place(page)).to_contain_text("Image 1 of 3 AP")
        changed(page, page.get_by_role("button", name="Next series").click)
        expect(place(page)).to_contain_text("Image 3 of 3 LL")

    assert third > first + 50


PHONE = {"has_touch": True, "is_mobile": True, "device_scale_factor": 2}


def touch(page: Page, *steps: list[tuple[float, float]]) -> None:
    """Put fingers on the glass, move them step by step, and lift them."""
    session = page.context.new_cdp_session(page)
    for kind, points in zip(["touchStart"] + ["touchMove"] * (len(steps) - 1), steps, strict=True):
        fingers = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})
    session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    session.detach()


def test_two_fingers_zoom_on_a_phone(house: House, study: Screen) -> None:
    keep(house, a_radiograph(blocks()))

    with study(360, 740, **PHONE) as page:
        stage = is_ready(page)
        stage.scroll_into_view_if_needed()
        width = box(page)[2]
        frame = stage.bounding_box()
        assert frame is not None
        x, y = frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2
        apart = [[(x - 20 - 8 * step, y), (x + 20 + 8 * step, y)] for step in range(6)]
        changed(page, lambda: touch(page, *apart))

        assert box(page)[2] > width * 1.2
        assert page.evaluate("visualViewport.scale") == 1
        assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.usefixtures("series")
def test_a_swipe_turns_to_the_next_image_on_a_phone(study: Screen) -> None:
    with study(360, 740, **PHONE) as page:
        stage = is_ready(page)
        stage.scroll_into_view_if_needed()
        frame = stage.bounding_box()
        assert frame is not None
        y = frame["y"] + frame["height"] / 2
        changed(page, lambda: touch(page, *[[(300 - 40 * step, y)] for step in range(6)]))

        expect(place(page)).to_contain_text("Image 3 of 3 LL")


def test_the_frames_of_one_object_are_turned_like_images_in_one_window(
    house: House, study: Screen
) -> None:
    frames = [blocks(512, 448) for _ in range(3)]
    for number, frame in enumerate(frames):
        frame += 40 * number  # each frame has other extremes
        frame[:64, :56] = 900 * (number + 1)
    film = as_file(
        a_film(
            frames[0].astype("<u2"),
            SOPClassUID=EnhancedXAImageStorage,
            NumberOfFrames=3,
            PixelData=b"".join(frame.astype("<u2").tobytes() for frame in frames),
        )
    )
    house.swap(archive=FakeArchive({STUDY_UID: [film]}))
    finding = a_finding(frame=2, activation=a_warm_map())
    digests = (instance_digest(film),)
    house.keep(a_result(analysis=an_analysis(findings=(finding,), instance_digests=digests)))

    with study() as page:
        stage = is_ready(page)
        expect(place(page)).to_contain_text("Image 2 of 3")
        expect(page.get_by_role("button", name="Next series")).to_be_hidden()
        film = box(page)
        second = greys(page, film)
        stage.focus()
        changed(page, lambda: page.keyboard.press("ArrowRight"))
        expect(place(page)).to_contain_text("Image 3 of 3")
        expect(page.locator(".outline")).to_be_hidden()
        third = greys(page, film)
        low, high = window_of(frames[1].astype("<u2").astype(float))

    values = frames[1].astype("<u2").astype(float), frames[2].astype("<u2").astype(float)
    for seen, shown in zip((second, third), values, strict=True):
        assert np.abs(seen - expected(shown, low, high)).max() <= TOLERANCE


@pytest.mark.parametrize("size", [(1280, 800), (380, 800), (360, 740)])
def test_every_button_can_be_hit(house: House, study: Screen, size: tuple[int, int]) -> None:
    keep(house, a_radiograph(blocks()))

    with study(*size) as page:
        is_ready(page)
        boxes = page.locator(".tools button:visible, .choices > *").evaluate_all(
            "all => all.map(one => one.getBoundingClientRect().toJSON())"
        )

    assert len(boxes) == 10
    assert_can_be_hit(boxes, size[0])


@pytest.mark.usefixtures("series")
@pytest.mark.parametrize("width", [1280, 360])
def test_the_buttons_of_several_series_can_be_hit_too(study: Screen, width: int) -> None:
    with study(width) as page:
        is_ready(page)
        expect(page.get_by_role("button", name="Next series")).to_be_visible()
        boxes = page.locator(".tools button:visible").evaluate_all(
            "all => all.map(one => one.getBoundingClientRect().toJSON())"
        )
        wide = page.evaluate("document.documentElement.scrollWidth")

    assert len(boxes) == 11 and wide <= width
    assert_can_be_hit(boxes, width)


def assert_can_be_hit(boxes: list[Any], width: int) -> None:
    assert all(one["width"] >= 24 and one["height"] >= 24 for one in boxes)  # WCAG 2.2, 2.5.8
    assert all(one["right"] <= width for one in boxes)


# --- where it cannot be -----------------------------------------------------------------------


def test_without_webgl_the_preview_stays(house: House, study: Screen) -> None:
    keep(house, a_radiograph(blocks()))

    with study(prepare=lambda page: page.add_init_script(WITHOUT_WEBGL)) as page:
        expect(page.locator(".stage")).to_have_attribute("data-picture", "shown")
        page.wait_for_load_state("networkidle")

        expect(page.locator(".picture")).to_be_visible()
        expect(page.locator(".outline")).to_be_visible()
        expect(page.get_by_role("button", name="Invert")).to_be_hidden()
        assert page.locator(".viewer").get_attribute("data-viewer") is None


def test_without_script_the_preview_stays_and_is_no_stop_of_the_tab_key(
    house: House, study: Screen
) -> None:
    keep(house, a_radiograph(blocks()))

    with study(java_script_enabled=False) as page:
        page.get_by_role("button", name="Continue").click()  # the sign-in by form
        page.wait_for_load_state("networkidle")

        assert picture_of(page.locator(".picture")).std() > 30
        assert page.locator(".viewer :is([tabindex], [role=application])").count() == 0


def test_the_viewer_asks_nobody_but_this_service(house: House, study: Screen, base: str) -> None:
    keep(house, a_radiograph(blocks()))
    asked: list[str] = []

    with study(prepare=lambda page: page.on("request", lambda one: asked.append(one.url))) as page:
        is_ready(page)

    after_sign_in = asked[asked.index(next(url for url in asked if url.endswith("viewer.js"))) :]
    assert after_sign_in and all(url.startswith(base) for url in after_sign_in)
