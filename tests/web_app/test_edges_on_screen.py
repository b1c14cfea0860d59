"""Which side of the patient is where, on the image in a real browser: as the header states it.

Source: DICOM PS3.3 C.7.6.1.1.1 (Patient Orientation); WAI-ARIA 1.2 "img".
"""

from itertools import combinations

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.fakes.imaging import STUDY_UID, FakeArchive
from tests.unit.imaging.dicom import a_film, a_picture, as_file
from tests.web_app.conftest import Screen
from tests.web_app.house import House, a_seen_result
from tests.web_app.test_reachable import KEEP_CONTEXTS, LOSE
from tests.web_app.test_viewer import WITHOUT_WEBGL, Series, is_ready

pytestmark = [pytest.mark.real, pytest.mark.slow]

FRONTAL = {"left": "R", "right": "L", "top": "H", "bottom": "F"}
EDGES = tuple(FRONTAL)


def keep(house: House, stated: list[str] | None) -> None:
    film = as_file(a_film(a_picture(512, 448), PatientOrientation=stated))
    house.swap(archive=FakeArchive({STUDY_UID: [film]}))
    house.keep(a_seen_result(film))


def keep_series(house: House) -> None:
    """Keep three films: one that does not state its sides, a frontal one, and a lateral one."""
    archive = Series()
    house.swap(archive=archive)
    house.keep(archive.result())


def letter(page: Page, edge: str) -> Locator:
    return page.locator(f".stage [data-edge={edge}]")


def expect_letters(page: Page, letters: dict[str, str]) -> None:
    for edge, text in letters.items():
        expect(letter(page, edge)).to_be_visible()
        expect(letter(page, edge)).to_have_text(text)


def expect_none(page: Page) -> None:
    for edge in EDGES:
        expect(letter(page, edge)).to_be_hidden()


@pytest.mark.parametrize(
    ("stated", "letters"),
    [
        (["L", "F"], FRONTAL),
        (["R", "F"], {"left": "L", "right": "R", "top": "H", "bottom": "F"}),
        (["A", "F"], {"left": "P", "right": "A", "top": "H", "bottom": "F"}),
        (["LF", "PH"], {"left": "RH", "right": "LF", "top": "AF", "bottom": "PH"}),
    ],
)
def test_each_edge_of_the_viewer_has_the_letter_that_the_header_states(
    stated: list[str], letters: dict[str, str], house: House, study: Screen
) -> None:
    keep(house, stated)

    with study() as page:
        is_ready(page)
        expect_letters(page, letters)


@pytest.mark.parametrize("stated", [None, ["X", "F"]])
def test_an_image_that_does_not_state_its_sides_has_no_letters(
    stated: list[str] | None, house: House, study: Screen
) -> None:
    keep(house, stated)

    with study() as page:
        is_ready(page)
        page.wait_for_load_state("networkidle")
        expect_none(page)


def test_a_preview_has_the_letters_too(house: House, study: Screen) -> None:
    keep(house, ["L", "F"])

    with study(prepare=lambda page: page.add_init_script(WITHOUT_WEBGL)) as page:
        expect_letters(page, FRONTAL)
        assert page.locator(".viewer").get_attribute("data-viewer") is None


def test_a_screen_reader_is_told_the_sides_in_words(house: House, study: Screen) -> None:
    keep(house, ["LF", "PH"])

    with study() as page:
        stage = is_ready(page)
        expect(letter(page, "right")).to_have_attribute(
            "aria-label", "Right edge: the patient's left and the patient's feet"
        )
        expect(page.get_by_role("img", name="Top edge: the patient's front")).to_be_visible()
        described = (stage.get_attribute("aria-describedby") or "").split()

        assert page.locator(".stage .edges").get_attribute("id") in described


def test_the_letters_of_a_right_to_left_page_stay_at_their_edges(
    house: House, study: Screen
) -> None:
    keep(house, ["L", "F"])

    with study(locale="ar") as page:
        stage = is_ready(page)
        expect(page.locator("html")).to_have_attribute("dir", "rtl")
        expect_letters(page, FRONTAL)
        places = {edge: letter(page, edge).bounding_box() for edge in EDGES}
        frame = stage.bounding_box()

    left, right, top, bottom = (places[edge] for edge in ("left", "right", "top", "bottom"))
    assert frame and left and right and top and bottom
    assert left["x"] - frame["x"] < 20 < right["x"] - left["x"]
    assert frame["x"] + frame["width"] - right["x"] - right["width"] < 20
    assert top["y"] - frame["y"] < 20 < bottom["y"] - top["y"]


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_the_letters_cover_no_other_text_of_the_stage(
    width: int, house: House, study: Screen
) -> None:
    keep_series(house)
    boxes = """() => [...document.querySelectorAll(".stage :is([data-edge], .place, .setting)")]
      .map(one => one.getBoundingClientRect().toJSON())"""

    with study(width) as page:
        is_ready(page)
        expect(page.locator(".place")).to_be_visible()
        expect_letters(page, FRONTAL)
        seen = page.evaluate(boxes)

    assert len(seen) == 6 and all(one["left"] >= 0 and one["right"] <= width for one in seen)
    for one, other in combinations(seen, 2):
        across = min(one["right"], other["right"]) - max(one["left"], other["left"])
        down = min(one["bottom"], other["bottom"]) - max(one["top"], other["top"])
        assert min(across, down) <= 0


def test_a_viewer_that_stops_gives_back_the_letters_of_the_preview(
    house: House, study: Screen
) -> None:
    keep_series(house)

    with study(prepare=lambda page: page.add_init_script(KEEP_CONTEXTS)) as page:
        stage = is_ready(page)
        stage.focus()
        page.keyboard.press("ArrowRight")
        expect_letters(page, {"left": "P", "right": "A"})
        page.evaluate(LOSE)
        expect(page.locator(".viewer")).to_have_attribute("data-viewer", "failed")
        expect_letters(page, FRONTAL)


def test_letters_follow_the_image_that_is_turned_to(house: House, study: Screen) -> None:
    keep_series(house)

    with study() as page:
        stage = is_ready(page)
        expect_letters(page, FRONTAL)  # of the second image, where the finding is
        stage.focus()
        page.keyboard.press("ArrowRight")
        expect_letters(page, {"left": "P", "right": "A", "top": "H", "bottom": "F"})
        page.keyboard.press("PageUp")
        expect_none(page)
