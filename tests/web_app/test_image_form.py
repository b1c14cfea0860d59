"""Images whose form is another than when they were analysed: shown all the same, or not at all."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pytest

from cds_service.domain.image_form import ImageForm
from cds_service.domain.study import StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.usecases.ports import Budget
from tests.fakes.imaging import FakeArchive
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import Browser, House, a_radiograph, a_seen_result
from tests.web_app.test_frames import a_series, keep_series
from tests.web_app.test_leftovers import changed

AS_STORED, UNCOMPRESSED, RLE = ImageForm.AS_STORED, ImageForm.UNCOMPRESSED, ImageForm.RLE


class ConvertingArchive(FakeArchive):
    """One study in several forms; a form that it has not got comes as stored."""

    def __init__(
        self,
        studies: Mapping[ImageForm, Sequence[bytes]],
        alone: Mapping[ImageForm, bytes] | None = None,
    ) -> None:
        """`alone` is what comes when one instance is asked for; the study's first without it."""
        super().__init__()
        firsts = {form: study[0] for form, study in studies.items()}
        self.forms, self.alone = studies, alone or firsts
        self.asked: list[ImageForm] = []

    def instances(self, tenant: Tenant, study: StudyReference, budget: Budget) -> Iterator[bytes]:
        self.asked.append(tenant.images)
        yield from self.forms.get(tenant.images, self.forms[AS_STORED])

    def instance(
        self, tenant: Tenant, study: StudyReference, series_uid: str, sop_uid: str
    ) -> bytes:
        self.asked.append(tenant.images)
        return self.alone.get(tenant.images, self.alone[AS_STORED])


@pytest.fixture
def opened(browser: Browser, tenant: Tenant, launch_of: LaunchOf) -> str:
    """The page of patient p-1, opened from the chart."""
    return browser.open(tenant.fhir_base, launch_of())


def shaded(shade: int) -> bytes:
    return a_radiograph(np.linspace(shade, 4095, 64 * 48).reshape(64, 48))


STORED, CONVERTED = shaded(0), shaded(1)


@pytest.mark.parametrize("analysed", [STORED, CONVERTED], ids=["as stored", "uncompressed"])
@pytest.mark.parametrize("wanted", list(ImageForm))
def test_a_site_that_changes_the_form_still_sees_what_was_analysed(
    house: House, browser: Browser, opened: str, tenant: Tenant, wanted: ImageForm, analysed: bytes
) -> None:
    changed(house, tenant, images=wanted)
    house.keep(a_seen_result(analysed))
    house.swap(archive=ConvertingArchive({AS_STORED: [STORED], UNCOMPRESSED: [CONVERTED]}))

    picture = browser.get(f"{opened}r/r-1/233604007/picture")

    assert (picture.status_code, picture.mimetype) == (200, "image/png")


def test_the_form_that_the_site_wants_is_asked_for_first_and_alone(
    house: House, browser: Browser, opened: str, tenant: Tenant
) -> None:
    changed(house, tenant, images=UNCOMPRESSED)
    house.keep(a_seen_result(CONVERTED))
    archive = ConvertingArchive({AS_STORED: [STORED], UNCOMPRESSED: [CONVERTED]})
    house.swap(archive=archive)

    browser.get(f"{opened}r/r-1/233604007/picture")

    assert archive.asked == [UNCOMPRESSED]


def test_an_archive_that_converts_otherwise_than_before_shows_no_picture_and_says_what_to_do(
    house: House, browser: Browser, opened: str, tenant: Tenant
) -> None:
    changed(house, tenant, images=UNCOMPRESSED)
    house.keep(a_seen_result(CONVERTED))
    house.swap(archive=ConvertingArchive({AS_STORED: [STORED], UNCOMPRESSED: [shaded(2)]}))
    house.swap(read_pixels=lambda instance, frame: pytest.fail("decoded"))

    page = browser.get(f"{opened}r/r-1/233604007/picture")

    assert page.status_code == 409
    assert "The image has changed" in page.text and "usual image viewer" in page.text


def listed(browser: Browser, opened: str) -> list[int]:
    """Return how many images of each series the viewer has."""
    answer = browser.get(f"{opened}r/r-1/images").json
    assert answer is not None
    return [len(series) for series in answer["series"]]


def test_the_viewer_lists_images_that_were_analysed_in_two_forms(
    house: House, browser: Browser, opened: str, tenant: Tenant
) -> None:
    """One of a study's series could be converted when it was analysed, and the other not."""
    changed(house, tenant, images=UNCOMPRESSED)
    stored, converted = a_series(4)[:2], a_series(4)[2:]
    house.swap(archive=ConvertingArchive({AS_STORED: stored, UNCOMPRESSED: converted}))
    keep_series(house, [stored[0], converted[1]])

    assert listed(browser, opened) == [2]


def test_an_image_that_left_an_archive_is_not_looked_for_in_another_form(
    house: House, browser: Browser, opened: str
) -> None:
    archive = ConvertingArchive({AS_STORED: a_series(2)})
    house.swap(archive=archive)
    keep_series(house, a_series(3))

    assert listed(browser, opened) == [2]
    assert archive.asked == [AS_STORED]
