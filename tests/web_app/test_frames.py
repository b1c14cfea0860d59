"""The images that the viewer reads: certified, sealed, one launch's own, one decoded at a time."""

import json
from collections.abc import Sequence
from threading import Event, Thread

import numpy as np
import pytest
import redis
from pydicom.uid import EnhancedXAImageStorage
from werkzeug.test import TestResponse

from cds_service.domain.finding import Result
from cds_service.domain.instance_digest import instance_digest
from cds_service.domain.study import SeriesReference
from cds_service.domain.tenant import Tenant
from smart_app import frame_cache, images
from smart_app.frame import frame_of, packed, unpacked
from tests.builders import a_finding, a_patient, a_result, a_study, an_analysis
from tests.fakes.imaging import SERIES_UID, STUDY_UID, FakeArchive
from tests.unit.imaging.dicom import a_film, a_picture, as_file
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import Browser, House, a_radiograph, a_seen_result

SOP_UID = "1.2.840.99999.1.1.1"


@pytest.fixture
def opened(browser: Browser, tenant: Tenant, launch_of: LaunchOf) -> str:
    """The page of patient p-1, opened from the chart."""
    return browser.open(tenant.fhir_base, launch_of())


def values_in(answer: TestResponse) -> np.ndarray:
    """The modality values that an answer's bytes and its header stand for."""
    facts = json.loads(answer.headers["Sightline-Frame"])
    stored = np.frombuffer(answer.data, "<u2").reshape(facts["rows"], facts["columns"])
    return np.asarray(stored * facts["slope"] + facts["intercept"])


def a_series(count: int) -> list[bytes]:
    """Films of one series, handed out in the wrong order."""
    films = [
        a_film(
            a_picture() + np.uint16(number),
            SOPInstanceUID=f"1.2.840.99999.1.1.{number}",
            SeriesNumber=1,
            InstanceNumber=number,
            PixelSpacing=[0.4, 0.3],
        )
        for number in range(count, 0, -1)
    ]
    return [as_file(film) for film in films]


def keep_series(house: House, instances: Sequence[bytes]) -> None:
    digests = tuple(sorted(instance_digest(instance) for instance in instances))
    analysis = an_analysis(
        findings=(a_finding(sop_uid="1.2.840.99999.1.1.2"),), instance_digests=digests
    )
    house.keep(a_result(analysis=analysis))


class CountingArchive(FakeArchive):
    """An archive that finds one instance by its UID, and counts how often."""

    def __init__(self, instances: Sequence[bytes]) -> None:
        super().__init__({STUDY_UID: instances})
        self.by_uid = {
            f"1.2.840.99999.1.1.{len(instances) - at}": instance
            for at, instance in enumerate(instances)
        }
        self.singles = 0

    def instance(self, tenant: object, study: object, series_uid: str, sop_uid: str) -> bytes:
        self.singles += 1
        return self.by_uid[sop_uid]


# --- the values -------------------------------------------------------------------------------


def test_whole_values_come_back_exactly() -> None:
    values = np.array([[-1024, 0], [40, 3071]], dtype=np.float32)

    frame = frame_of(values, None)

    assert (frame.slope, frame.intercept) == (1.0, -1024.0)
    assert (frame.stored * frame.slope + frame.intercept == values).all()


def test_fractions_come_back_to_a_65535th_of_their_range() -> None:
    values = np.random.default_rng(1).random((40, 30), dtype=np.float32) * 7.5

    frame = frame_of(values, None)

    error = np.abs(frame.stored * frame.slope + frame.intercept - values)
    assert error.max() <= 7.5 / 65535


def test_an_even_frame_has_a_window_with_a_width() -> None:
    low, high = frame_of(np.full((8, 8), 7, dtype=np.float32), None).window

    assert low < high


@pytest.mark.parametrize("guards", [("polarity",), ("polarity", "negative")])
def test_an_image_is_shown_with_the_polarity_in_which_it_was_analysed(
    guards: tuple[str, ...], house: House, browser: Browser, opened: str
) -> None:
    """A header that contradicts itself leaves it open, and the image told the model."""
    instance = as_file(a_film(PresentationLUTShape="INVERSE"))
    finding = a_finding(guards=guards, sop_uid=SOP_UID)
    digest = instance_digest(instance)
    analysis = an_analysis(findings=(finding,), instance_digests=(digest,))
    house.keep(a_result(id="res-1", analysis=analysis))
    house.swap(archive=FakeArchive({STUDY_UID: [instance]}))

    shown = values_in(browser.get(f"{opened}r/res-1/i/0/frame"))

    stored = a_picture().astype(np.float32)
    negative = stored.min() + stored.max() - stored
    assert (shown == (negative if "negative" in guards else stored)).all()


def test_a_packed_frame_is_the_frame() -> None:
    frame = frame_of(a_picture().astype(np.float32), (0.2, 0.1), 12, ("LF", "PH"))

    again = unpacked(packed(frame))

    assert again.facts == frame.facts and (again.stored == frame.stored).all()
    assert again.orientation == ("LF", "PH")


def test_a_frame_that_an_earlier_release_packed_is_shown_without_letters() -> None:
    line, _, raw = packed(frame_of(a_picture().astype(np.float32), None)).partition(b"\n")
    facts = json.loads(line)
    del facts["edges"]

    again = unpacked(json.dumps(facts).encode() + b"\n" + raw)

    assert again.orientation is None and (again.stored == a_picture() - a_picture().min()).all()


# --- the routes -------------------------------------------------------------------------------


def test_the_viewer_gets_the_stored_values_and_how_to_show_them(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(a_seen_result(house.instance))

    listed = browser.get(f"{opened}r/r-1/images").json
    assert listed is not None
    answer = browser.get(listed["series"][0][0]["frame"])

    ramp = np.linspace(0, 4095, 64 * 48).reshape(64, 48).astype("<u2")
    assert (values_in(answer) == ramp).all()
    assert listed["findings"] == {"233604007": 0}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("stated", "edges"),
    [
        (["L", "F"], {"left": "R", "right": "L", "top": "H", "bottom": "F"}),
        (["R", "F"], {"left": "L", "right": "R", "top": "H", "bottom": "F"}),
        (["X", "F"], None),
        (None, None),
    ],
)
def test_the_viewer_is_told_which_side_of_the_patient_is_where_as_the_header_states_it(
    stated: list[str] | None,
    edges: dict[str, str] | None,
    house: House,
    browser: Browser,
    opened: str,
) -> None:
    film = as_file(a_film(PatientOrientation=stated))
    house.swap(archive=FakeArchive({STUDY_UID: [film]}))
    house.keep(a_seen_result(film))

    fresh, kept = (browser.get(f"{opened}r/r-1/i/0/frame") for _ in range(2))

    for answer in (fresh, kept):
        assert json.loads(answer.headers["Sightline-Frame"])["edges"] == edges
    told = browser.get(f"{opened}r/r-1/233604007/review/image").json
    assert told is not None and told["edges"] == edges


def test_a_dark_is_bright_film_arrives_bright_is_bright(
    house: House, browser: Browser, opened: str
) -> None:
    film = as_file(a_film(PhotometricInterpretation="MONOCHROME1"))
    house.swap(archive=FakeArchive({STUDY_UID: [film]}))
    house.keep(a_seen_result(film))

    values = values_in(browser.get(f"{opened}r/r-1/i/0/frame"))

    picture = a_picture().astype(float)
    assert (values == picture.min() + picture.max() - picture).all()


def test_the_images_of_a_study_are_in_the_order_of_their_numbers(
    house: House, browser: Browser, opened: str
) -> None:
    instances = a_series(3)
    house.swap(archive=CountingArchive(instances))
    keep_series(house, instances)

    listed = browser.get(f"{opened}r/r-1/images").json

    assert listed is not None
    [series] = listed["series"]
    brightest = [int(values_in(browser.get(entry["frame"])).max()) for entry in series]
    assert brightest == [a_picture().max() + number for number in (1, 2, 3)]
    assert listed["findings"] == {"233604007": 1}
    facts = json.loads(browser.get(series[0]["frame"]).headers["Sightline-Frame"])
    assert facts["spacing_mm"] == [0.4, 0.3]


def test_the_frames_of_an_object_are_listed_and_read_one_by_one_after_a_single_fetch(
    house: House, browser: Browser, opened: str
) -> None:
    archive = CountingArchive([a_cine_loop(3)])
    house.swap(archive=archive)
    house.keep(a_seen_frame(archive.by_uid[SOP_UID], frame=2))

    listed = browser.get(f"{opened}r/r-1/images").json

    assert listed is not None and listed["findings"] == {"233604007": 1}
    [series] = listed["series"]
    darkest = [int(values_in(browser.get(entry["frame"])).min()) for entry in series]
    assert darkest == [a_picture().min() + 10 * number for number in range(3)]
    assert archive.singles == 1


def test_the_preview_is_the_frame_that_the_finding_is_in(
    house: House, browser: Browser, opened: str
) -> None:
    archive = CountingArchive([a_cine_loop(3)])
    decoded: list[int] = []
    read = house.app.extensions["sightline-app"].read_pixels

    def noted(instance: bytes, frame: int) -> np.ndarray:
        decoded.append(frame)
        return np.asarray(read(instance, frame))

    house.swap(archive=archive, read_pixels=noted)
    house.keep(a_seen_frame(archive.by_uid[SOP_UID], frame=3))

    assert browser.get(f"{opened}r/r-1/233604007/picture").status_code == 200
    assert decoded == [3]


def test_the_frames_of_several_objects_follow_each_other(
    house: House, browser: Browser, opened: str
) -> None:
    instances = [a_cine_loop(2, "1.2.840.99999.1.1.2"), *a_series(1)]
    house.swap(archive=CountingArchive(instances))
    keep_series(house, instances)

    listed = browser.get(f"{opened}r/r-1/images").json

    assert listed is not None
    assert [len(series) for series in listed["series"]] == [3]
    assert listed["findings"] == {"233604007": 1}  # its first frame, after the single film


def a_cine_loop(count: int, sop_uid: str = SOP_UID) -> bytes:
    """An object of several frames, each a little brighter than the one before."""
    frames = [a_picture() + np.uint16(10 * number) for number in range(count)]
    film = a_film(
        frames[0],
        SOPClassUID=EnhancedXAImageStorage,
        SOPInstanceUID=sop_uid,
        SeriesNumber=1,
        InstanceNumber=2,
        NumberOfFrames=count,
        PixelData=b"".join(frame.tobytes() for frame in frames),
    )
    return as_file(film)


def a_seen_frame(instance: bytes, frame: int) -> Result:
    digests = (instance_digest(instance),)
    finding = a_finding(sop_uid=SOP_UID, frame=frame)
    return a_result(analysis=an_analysis(findings=(finding,), instance_digests=digests))


def test_an_image_that_was_not_analysed_is_not_listed(
    house: House, browser: Browser, opened: str
) -> None:
    instances = a_series(3)
    house.swap(archive=CountingArchive(instances))
    keep_series(house, instances[1:])

    listed = browser.get(f"{opened}r/r-1/images").json

    assert listed is not None and len(listed["series"][0]) == 2
    assert browser.get(f"{opened}r/r-1/i/2/frame").status_code == 404


def test_bytes_that_no_worker_has_decoded_are_not_decoded_for_the_viewer(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(a_seen_result(house.instance))
    house.swap(archive=FakeArchive({STUDY_UID: [a_radiograph(np.zeros((4, 4)))]}))
    house.swap(read_pixels=lambda instance, frame: pytest.fail("decoded"))

    assert browser.get(f"{opened}r/r-1/i/0/frame").status_code == 409


def test_the_viewer_fetches_no_series_that_a_model_would_not_read(
    house: House, browser: Browser, opened: str
) -> None:
    instances = a_series(2)
    archive = CountingArchive(instances)
    house.swap(archive=archive)
    keep_series(house, instances)
    film, sections = SeriesReference(SERIES_UID, "DX"), SeriesReference("1.2.3.9", "CT")
    house.dispatch(a_study(series=(film, sections), series_count=2), a_patient())

    listed = browser.get(f"{opened}r/r-1/images").json

    assert listed is not None and len(listed["series"][0]) == 2
    assert [budget.series for budget in archive.budgets] == [(SERIES_UID,)]


def test_the_viewer_fetches_the_whole_study_where_the_models_have_changed_since(
    house: House, browser: Browser, opened: str
) -> None:
    instances = a_series(2)
    archive = CountingArchive(instances)
    house.swap(archive=archive, modalities=("CT",))
    keep_series(house, instances)
    film, sections = SeriesReference(SERIES_UID, "DX"), SeriesReference("1.2.3.9", "CT")
    house.dispatch(a_study(series=(film, sections), series_count=2), a_patient())

    browser.get(f"{opened}r/r-1/images")

    assert [budget.series for budget in archive.budgets] == [()]


def test_a_study_that_was_not_analysed_has_no_images(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(a_result(analysis=an_analysis(findings=(), instance_digests=())))

    listed = browser.get(f"{opened}r/r-1/images").json

    assert listed == {"series": [], "findings": {}}


# --- the cache --------------------------------------------------------------------------------


def test_preview_and_viewer_together_fetch_and_decode_once(
    house: House, browser: Browser, opened: str
) -> None:
    archive = CountingArchive(a_series(1))
    house.swap(archive=archive)
    house.keep(a_seen_result(archive.by_uid[SOP_UID]))

    browser.get(f"{opened}r/r-1/233604007/picture")
    browser.get(f"{opened}r/r-1/i/0/frame")
    browser.get(f"{opened}r/r-1/i/0/frame")

    assert archive.singles == 1


def test_a_kept_frame_is_sealed_and_ends(
    house: House, browser: Browser, opened: str, keyspace: redis.Redis
) -> None:
    house.keep(a_seen_result(house.instance))

    answer = browser.get(f"{opened}r/r-1/i/0/frame")

    [key] = keyspace.scan_iter("sightline:frame:*")
    assert 0 < keyspace.ttl(key) <= 900
    assert answer.data[:64] not in keyspace.get(key)
    assert SOP_UID.encode() not in b"".join(keyspace.scan_iter())


def test_old_frames_give_way_when_the_limit_is_passed(
    house: House,
    browser: Browser,
    opened: str,
    keyspace: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instances = a_series(3)
    house.swap(archive=CountingArchive(instances))
    keep_series(house, instances)
    monkeypatch.setattr(frame_cache, "TOTAL_LIMIT_BYTES", 2 * len(a_picture().tobytes()) + 2000)

    for number in range(3):
        browser.get(f"{opened}r/r-1/i/{number}/frame")

    assert len(list(keyspace.scan_iter("sightline:frame:*"))) == 2
    assert keyspace.zcard("sightline:frames") == 2


def test_a_frame_too_large_to_keep_is_shown_all_the_same(
    house: House,
    browser: Browser,
    opened: str,
    keyspace: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house.keep(a_seen_result(house.instance))
    monkeypatch.setattr(frame_cache, "ENTRY_LIMIT_BYTES", 100)

    assert browser.get(f"{opened}r/r-1/i/0/frame").status_code == 200
    assert list(keyspace.scan_iter("sightline:frame:*")) == []


def test_a_frame_that_was_changed_in_the_cache_is_fetched_again(
    house: House, browser: Browser, opened: str, keyspace: redis.Redis
) -> None:
    house.keep(a_seen_result(house.instance))
    before = browser.get(f"{opened}r/r-1/i/0/frame")
    [key] = keyspace.scan_iter("sightline:frame:*")
    keyspace.set(key, bytes(keyspace.get(key))[:-1] + b"x")

    assert browser.get(f"{opened}r/r-1/i/0/frame").data == before.data


# --- one decoder ------------------------------------------------------------------------------


def test_two_images_are_never_decoded_at_once_and_who_waits_too_long_is_told_when_to_return(
    house: House, browser: Browser, opened: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.keep(a_seen_result(house.instance))
    entered, leave = Event(), Event()
    read = house.app.extensions["sightline-app"].read_pixels

    def slow(instance: bytes, frame: int) -> np.ndarray:
        entered.set()
        assert leave.wait(60)
        return np.asarray(read(instance, frame))

    house.swap(read_pixels=slow)
    monkeypatch.setattr(images, "DECODE_WAIT_S", 0.05)
    address = f"{opened}r/r-1/i/0/frame"
    answers: list[TestResponse] = []
    first = Thread(target=lambda: answers.append(browser.get(address)))
    first.start()
    assert entered.wait(60)

    refused = browser.get(address)
    leave.set()
    first.join(60)

    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert [answer.status_code for answer in answers] == [200]


# --- nobody else's ----------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["images", "i/0/frame"])
def test_another_patient_s_images_are_not_found_and_nothing_is_fetched(
    house: House, browser: Browser, opened: str, path: str
) -> None:
    archive = FakeArchive({STUDY_UID: [house.instance]})
    house.swap(archive=archive)
    house.keep(a_seen_result(house.instance, id="r-2", key="k-2", patient_id="p-2"))

    known = browser.get(f"{opened}r/r-2/{path}")
    unknown = browser.get(f"{opened}r/r-9/{path}")

    assert (known.status_code, known.data) == (404, unknown.data)
    assert archive.fetched == [] and "Sightline-Frame" not in known.headers


@pytest.mark.parametrize("path", ["images", "i/0/frame"])
def test_another_browser_gets_nothing_from_a_copied_address(
    house: House, opened: str, path: str
) -> None:
    house.keep(a_seen_result(house.instance))

    answer = house.browser().get(f"{opened}r/r-1/{path}", Accept="application/json")

    assert answer.status_code == 401 and "Sightline-Frame" not in answer.headers


def test_a_frame_kept_for_one_launch_is_not_read_by_another(
    house: House, browser: Browser, opened: str, tenant: Tenant, launch_of: LaunchOf
) -> None:
    archive = CountingArchive(a_series(1))
    house.swap(archive=archive)
    house.keep(a_seen_result(archive.by_uid[SOP_UID]))
    browser.get(f"{opened}r/r-1/i/0/frame")

    other = browser.open(tenant.fhir_base, launch_of())
    browser.get(f"{other}r/r-1/i/0/frame")

    assert archive.singles == 2
