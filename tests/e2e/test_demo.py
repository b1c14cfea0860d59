"""`sightline demo` in a real browser: from the patient list to the card, the app and the record.

Source: architecture "What a card says", "Words on every page"; CDS Hooks 2.0 "Feedback".
"""

import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from PIL import Image, ImageChops, ImageStat
from playwright.sync_api import Frame, Locator, Page, expect

from cds_service.adapters.client_assertion import ASSERTION_TYPE, ClientAssertion
from cds_service.adapters.signing_keys import SigningKeyFile
from cds_service.sandbox.patients import PATIENTS
from cds_service.settings import SIGNING_KEYS
from tests.e2e.running_demo import KEYS, Demo, is_alive, running_demo, until
from tests.real.pages import DECODED_WIDTH, wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("e2e")]

ANALYSED_MS = 180_000  # a niced worker on a busy machine
ANALYSED = {"p101": 1, "p102": 1, "p107": 2, "p109": 1}  # studies, and so findings, per patient
DAY = r"\d{1,2} [A-Z][a-z]{2} \d{4}"
FOUND = re.compile(
    rf"Chest X-ray {DAY}: signs of pneumonia \(AI score (>?0\.\d\d), threshold (0\.\d\d)\)"
)
JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}")


def open_chart(page: Page, demo: Demo, patient: str) -> Locator:
    """Open a chart; return its cards."""
    page.goto(f"{demo.chart}/chart/{patient}")
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "false")
    return page.locator(".card")


def open_app(page: Page, card: Locator) -> Frame:
    """Press the card's button and return the frame once the app is there."""
    return frame_after(page, card.locator("[data-launch]"))


def frame_after(page: Page, button: Locator) -> Frame:
    """Press a button that opens the app and return its frame."""
    button.click()
    expect(page.frame_locator("#frame").locator("#panel")).to_be_visible()
    frame = page.frame("activity")
    assert frame is not None
    return frame


def picture_of(shown: Locator) -> Image.Image:
    return Image.open(BytesIO(shown.screenshot())).convert("RGB")


def show(frame: Frame, choice: str) -> Image.Image:
    """Choose what lies over the image and return what is then seen."""
    frame.get_by_text(choice, exact=True).click()
    return picture_of(frame.locator(".stack"))


# --- from the list to the card ----------------------------------------------------------------


def test_the_patient_list_leads_to_a_chart_with_a_card_in_plain_words(
    page: Page, demo: Demo
) -> None:
    page.goto(demo.addresses["ready"])
    expect(page.locator(".people tbody tr")).to_have_count(len(PATIENTS))

    page.get_by_role("link", name="Sampleton, Otto").click()

    card = page.locator(".card")
    expect(card.locator("h3")).to_have_text(FOUND)
    expect(card.locator(".word")).to_have_text("Warning")
    expect(card).to_contain_text("Not a medical device")
    expect(card).not_to_contain_text("normal")


@pytest.mark.parametrize(
    ("patient", "why"),
    [
        ("p103", "was not analysed: made for children aged 1-5, this patient is 61"),
        ("p104", "was not analysed: made for frontal chest X-rays, this is a lateral view"),
        ("p105", "was not analysed: made for frontal chest X-rays, this is a CT"),
        (
            "p106",
            "was not analysed: images could not be matched to this patient. Check with radiology",
        ),
        ("p110", "was not analysed: its image data are damaged"),
    ],
)
def test_a_study_that_was_not_analysed_says_why_and_shows_no_score(
    page: Page, demo: Demo, patient: str, why: str
) -> None:
    card = open_chart(page, demo, patient)

    expect(card.locator("h3")).to_have_text(re.compile(rf"{DAY} {re.escape(why)}$"))
    app = open_app(page, card).locator("body")
    expect(app).to_contain_text("Not analysed")
    for words in (card.inner_text(), app.inner_text()):
        assert re.search(r"score.{0,3}\d", words) is None
    expect(page.locator("#results")).to_contain_text("No results yet")


def test_a_mixed_up_study_has_no_word_about_the_other_person(page: Page, demo: Demo) -> None:
    [study] = next(row for row in PATIENTS if row.id == "p106").studies
    assert study.dicom_of is not None
    other = study.dicom_of

    app = open_app(page, open_chart(page, demo, "p106"))

    for seen in (page.content(), app.content()):
        assert not {other.family, other.given, other.mrn} & set(re.findall(r"[\w-]+", seen))


def test_a_patient_without_imaging_has_no_card(page: Page, demo: Demo) -> None:
    cards = open_chart(page, demo, "p108")

    expect(page.locator("#cards")).to_contain_text("has nothing to say about this patient")
    expect(cards).to_have_count(0)


def test_a_dismissal_reaches_the_ledger_with_its_reason(page: Page, demo: Demo) -> None:
    card = open_chart(page, demo, "p107").first

    card.get_by_role("button", name="Dismiss…").click()
    card.get_by_label("Recommended action was already completed").check()
    card.get_by_label("Comment").fill("seen on the ward")
    card.get_by_role("button", name="Dismiss", exact=True).click()

    expect(card.locator(".outcome")).to_have_text("Dismissed. The AI service was told.")
    uuid = card.get_attribute("data-card")
    assert uuid is not None
    [(outcome, reason, has_comment)] = demo.ledger(
        "SELECT outcome, json_extract(reason, '$.code'), has_comment FROM feedback"
        " WHERE card_uuid = ?",
        uuid,
    )
    assert (outcome, reason, has_comment) == ("overridden", "action-completed", 1)


# --- the app ----------------------------------------------------------------------------------


def test_the_app_shows_image_overlay_and_score_in_a_frame_of_another_site(
    page: Page, demo: Demo
) -> None:
    card = open_chart(page, demo, "p101")
    said = FOUND.fullmatch(card.locator("h3").inner_text())
    assert said is not None
    expect(card.locator("[data-launch]")).to_have_text("Open images and AI result")

    app = open_app(page, card)

    assert (urlsplit(page.url).hostname, urlsplit(app.url).hostname) == ("localhost", "127.0.0.1")
    expect(app.locator(".stage")).to_have_attribute("data-picture", "shown")
    for name in ("picture", "heatmap", "outline"):
        assert app.locator(f"img.{name}").evaluate(DECODED_WIDTH) > 0
    expect(app.locator(".score")).to_contain_text(f"{said[1]} AI score, from 0 to 1")
    expect(app.locator(".score")).to_contain_text(f"threshold {said[2]}")
    bare, outlined, heated = (show(app, name) for name in ("Image only", "Outline", "Heat map"))
    assert ImageStat.Stat(bare.convert("L")).stddev[0] > 30  # of 256 grey levels
    assert ImageChops.difference(bare, outlined).getbbox() is not None
    assert ImageChops.difference(bare, heated).getbbox() is not None


def test_a_side_panel_shows_who_when_and_what_it_is_not_without_scrolling(
    page: Page, demo: Demo
) -> None:
    app = open_app(page, open_chart(page, demo, "p101"))
    page.get_by_role("button", name="Side panel").click()
    wait_until(page, "frame.clientWidth < 400")
    over = app.evaluate("innerHeight") - 700
    page.set_viewport_size({"width": 1280, "height": 800 - over})
    wait_until(app, "innerHeight <= 700")

    width, height, whole_width = app.evaluate(
        "[innerWidth, innerHeight, document.documentElement.scrollWidth]"
    )

    assert width <= 380 and whole_width <= width
    for part, words in (
        (".patient .name", r"Sampleton, Otto"),
        (".patient .facts", r"born \d"),
        ("h1 time", DAY),
        (".label", r"Not a medical device"),
    ):
        expect(app.locator(part)).to_have_text(re.compile(words))
        box = app.locator(part).evaluate("part => part.getBoundingClientRect().toJSON()")
        assert box["top"] >= 0 and box["left"] >= 0 and box["height"] > 0, part
        assert box["bottom"] <= height and box["right"] <= width, part


def test_an_agreement_is_recorded_and_shown_when_the_app_opens_again(
    page: Page, demo: Demo
) -> None:
    app = open_app(page, open_chart(page, demo, "p101"))

    app.get_by_role("button", name="Agree", exact=True).click()

    expect(app.get_by_text("You agreed on")).to_be_visible()
    app.goto(app.url)
    expect(app.get_by_text("You agreed on")).to_be_visible()

    expect(open_chart(page, demo, "p101")).to_have_count(0)  # acknowledged: nobody is told again
    again = frame_after(page, page.get_by_role("button", name="Open in Sightline").first)
    agree = again.get_by_role("button", name="Agree", exact=True)
    expect(agree).to_have_attribute("aria-pressed", "true")
    assert demo.ledger("SELECT verdict, reviewer FROM review") == [
        ("agree", "Practitioner/clinician")
    ]


def test_a_running_analysis_becomes_its_result_without_a_reload(page: Page, demo: Demo) -> None:
    with demo.with_the_worker_held():
        card = open_chart(page, demo, "p109")
        expect(card.locator("h3")).to_have_text(
            # Without a promise when Redis was too slow for the doorbell.
            re.compile(rf"Chest X-ray {DAY}: AI analysis (running, about \d+ s|queued)")
        )
        app = open_app(page, card)
        expect(app.locator("progress")).to_be_visible()
        expect(app.locator("[aria-current=step]")).to_have_text("Queued")
        app.evaluate("window.stillTheSamePage = true")
        expect(page.locator("#results")).to_contain_text("No results yet")

    expect(app.locator(".finding")).to_contain_text("signs of pneumonia", timeout=ANALYSED_MS)
    expect(app.locator(".stage")).to_have_attribute("data-picture", "shown")
    assert app.evaluate("window.stillTheSamePage")
    expect(page.locator("#results")).to_contain_text("Pneumonia", timeout=ANALYSED_MS)
    expect(card.locator("h3")).to_have_text(FOUND, timeout=ANALYSED_MS)


# --- the record and the logs ------------------------------------------------------------------


def observations(demo: Demo) -> list[dict[str, object]]:
    """Read every Observation of the EHR as the backend service that Sightline is."""
    token_url = f"{demo.chart}/auth/token"
    assertion = ClientAssertion(SigningKeyFile(demo.data / SIGNING_KEYS).read)
    form = {
        "grant_type": "client_credentials",
        "scope": "system/Observation.rs",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion.sign("sightline", token_url),
    }
    token = requests.post(token_url, data=form, timeout=60).json()["access_token"]
    bundle = requests.get(
        f"{demo.addresses['fhir']}/Observation?_count=100",
        headers={"Authorization": f"Bearer {token}"},
        timeout=60,
    ).json()
    return [entry["resource"] for entry in bundle["entry"]]


def test_opening_charts_again_and_again_leaves_one_observation_per_finding(demo: Demo) -> None:
    charts = [f"{demo.chart}/chart/{row.id}/cards" for row in PATIENTS] * 3

    with ThreadPoolExecutor(4) as clinicians:
        states = list(
            clinicians.map(lambda url: requests.get(url, timeout=120).status_code, charts)
        )

    assert set(states) == {200}
    # What was found is written to the record a moment after it is known.
    until(lambda: len(observations(demo)) >= sum(ANALYSED.values()))
    found = observations(demo)
    subjects = [str(one["subject"]["reference"]) for one in found]  # type: ignore[index]
    counts = {patient: subjects.count(f"Patient/{patient}") for patient in ANALYSED}
    assert counts == ANALYSED and len(found) == sum(ANALYSED.values())


def test_no_log_and_no_queue_holds_a_name_a_number_or_a_token(page: Page, demo: Demo) -> None:
    open_app(page, open_chart(page, demo, "p106"))
    people = [row.person for row in PATIENTS]
    people += [study.dicom_of for row in PATIENTS for study in row.studies if study.dicom_of]
    words = {word for one in people for word in (one.family, one.given, one.mrn)}
    uids = {uid for (uid,) in demo.ledger("SELECT study_uid FROM result")}

    logs = sorted(demo.data.glob("logs/*.log"))
    kept = [*logs, *demo.data.glob("redis/**/*.aof"), demo.child.log]

    assert len(uids) >= 9
    assert {path.stem for path in logs} == {"redis", "sandbox", "service", "worker"}
    assert sum(path.suffix == ".aof" for path in kept) > 0
    for path in kept:
        content = path.read_bytes()
        leaked = [word for word in words | uids if word.encode() in content]
        assert leaked == [], path.name
        assert JWT.search(content) is None, path.name
        assert b"Traceback" not in content, path.name


# --- starting and stopping --------------------------------------------------------------------


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Demo, set[int], int]]:
    """A demo that was ready and then got Ctrl-C, the pids that it had, and its exit code."""
    with running_demo(tmp_path_factory.mktemp("stopped")) as demo:
        pids = demo.pids()
        yield demo, pids, demo.interrupt()


def test_ctrl_c_ends_every_child_without_a_traceback(
    stopped: tuple[Demo, set[int], int],
) -> None:
    demo, pids, code = stopped

    assert code == 0
    assert len(pids) >= 7  # the demo, Redis, the sandbox, gunicorn and two, the worker and its one
    assert [pid for pid in pids if is_alive(pid)] == []
    assert not demo.state.exists()
    for log in (demo.child.log, *demo.data.glob("logs/*.log")):
        assert "Traceback" not in log.read_text(), log.name


def test_the_terminal_and_the_state_file_name_the_same_addresses(
    stopped: tuple[Demo, set[int], int],
) -> None:
    demo, _, _ = stopped

    assert set(demo.addresses) == KEYS
    for name, value in demo.addresses.items():
        assert f"\n{name}: {value}\n" in demo.output
    assert demo.addresses["service"] == f"http://127.0.0.1:{demo.port}"
    assert urlsplit(demo.addresses["chart"]).hostname == "localhost"


def test_a_second_start_on_the_same_data_knows_the_results(
    stopped: tuple[Demo, set[int], int], page: Page
) -> None:
    demo, _, _ = stopped
    before = demo.ledger("SELECT id FROM result ORDER BY id")

    demo.start()
    try:
        card = open_chart(page, demo, "p101")

        expect(card.locator("h3")).to_have_text(FOUND)
        assert demo.ledger("SELECT id FROM result ORDER BY id") == before != []
    finally:
        assert demo.interrupt() == 0


def test_a_busy_port_ends_with_code_2_and_a_sentence(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "cds_service.cli", "demo", "--port", str(port)]

        ended = subprocess.run(
            [*command, "--data", str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    assert ended.returncode == 2
    assert f"Port {port} is in use: choose another with `sightline demo --port N`" in ended.stderr
    assert "Traceback" not in ended.stderr
