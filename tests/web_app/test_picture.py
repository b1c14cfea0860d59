"""The image of a finding and its overlays."""

import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from cds_service.domain.tenant import Tenant
from smart_app.frame import frame_of
from smart_app.picture import LONGEST_SIDE, OUTLINE_SIDE, stands_out, windowed_png
from tests.builders import a_finding, a_result, an_analysis
from tests.fakes.imaging import STUDY_UID, FakeArchive
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import Browser, House, a_radiograph, a_seen_result, a_warm_map


@pytest.fixture
def finding(browser: Browser, tenant: Tenant, launch_of: LaunchOf) -> str:
    """The address of the finding of result r-1."""
    return f"{browser.open(tenant.fhir_base, launch_of())}r/r-1/233604007"


def test_the_picture_is_the_instance_windowed_to_eight_bits(
    house: House, browser: Browser, finding: str
) -> None:
    house.keep(a_seen_result(house.instance))

    answer = browser.get(f"{finding}/picture")

    image = Image.open(BytesIO(answer.data))
    grey = np.asarray(image)
    assert answer.mimetype == "image/png" and image.mode == "L" and grey.shape == (64, 48)
    assert (grey.min(), grey.max()) == (0, 255) and grey[0].mean() < grey[-1].mean()


def test_bytes_that_no_worker_has_decoded_are_not_decoded_here(
    house: House, browser: Browser, finding: str
) -> None:
    house.keep(a_seen_result(house.instance))
    house.swap(archive=FakeArchive({STUDY_UID: [a_radiograph(np.zeros((4, 4)))]}))
    house.swap(read_pixels=lambda instance, frame: pytest.fail("decoded"))

    page = browser.get(f"{finding}/picture")
    answer = browser.get(f"{finding}/picture", Accept="application/json")

    assert page.status_code == 409 and "usual image viewer" in page.text
    assert answer.json is not None and answer.json["code"] == "conflict"


def test_an_image_that_left_the_archive_is_said_in_words(
    house: House, browser: Browser, finding: str
) -> None:
    house.keep(a_seen_result(house.instance))
    house.swap(archive=FakeArchive())

    answer = browser.get(f"{finding}/picture")

    assert answer.status_code == 422 and "The archive does not have its images." in answer.text


def test_a_large_image_is_made_smaller_and_keeps_its_shape() -> None:
    noise = np.random.default_rng(0).random((2400, 3200), dtype=np.float32)

    image = Image.open(BytesIO(windowed_png(frame_of(noise, None))))

    assert image.size == (LONGEST_SIDE, LONGEST_SIDE * 3 // 4)


def test_an_even_image_is_a_picture_too() -> None:
    even = frame_of(np.full((8, 8), 7, dtype=np.float32), None)

    assert Image.open(BytesIO(windowed_png(even))).size == (8, 8)


def test_the_heat_map_is_clear_where_it_is_cold(
    house: House, browser: Browser, finding: str
) -> None:
    house.keep(a_seen_result(house.instance))

    image = Image.open(BytesIO(browser.get(f"{finding}/heatmap").data))

    alpha = np.asarray(image)[..., 3]
    rows, columns = alpha.shape
    assert alpha[0, -1] == 0 and alpha[int(0.62 * rows), int(0.32 * columns)] > 200


def test_the_heat_map_of_the_surroundings_is_clear_inside_the_outline(
    house: House, browser: Browser, finding: str
) -> None:
    house.keep(a_seen_result(house.instance))

    whole, around = (
        np.asarray(Image.open(BytesIO(browser.get(f"{finding}/heatmap{query}").data)))[..., 3]
        for query in ("", "?within=surroundings")
    )

    drawing = browser.get(f"{finding}/outline").text
    line = [float(one) for one in re.findall(r"[\d.]+", re.findall(r' d="([^"]+)"', drawing)[0])]
    side = len(whole)
    drawn = Image.new("L", (side, side))
    ImageDraw.Draw(drawn).polygon([one * side / OUTLINE_SIDE for one in line], fill=255)
    inside = np.asarray(drawn.filter(ImageFilter.MinFilter(5))) == 255  # the edge itself is soft
    outside = np.asarray(drawn.filter(ImageFilter.MaxFilter(5))) == 0
    assert inside.sum() > 1000 and (around[inside] == 0).all()
    assert (around > 0).any() and (around[outside] == whole[outside]).all()


def test_the_outline_runs_around_the_warm_area(
    house: House, browser: Browser, finding: str
) -> None:
    house.keep(a_seen_result(house.instance))

    drawing = browser.get(f"{finding}/outline")

    assert drawing.mimetype == "image/svg+xml" and drawing.text.count("<path") == 2
    assert "style" not in drawing.text and "script" not in drawing.text


def test_a_finding_without_a_map_has_no_overlay(
    house: House, browser: Browser, finding: str
) -> None:
    house.keep(a_result(analysis=an_analysis(findings=(a_finding(),))))

    assert browser.get(f"{finding}/heatmap").status_code == 404
    assert browser.get(f"{finding}/outline").status_code == 404


def test_a_warm_map_stands_out() -> None:
    assert stands_out(a_warm_map())
