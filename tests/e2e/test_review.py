"""A clinician's verdict in the demo: from the page through the worker into the EHR's record.

Source: architecture "two buttons"; HL7 AI Transparency on FHIR (a human `verifier`).
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from playwright.sync_api import Frame, Page, expect

from cds_service.adapters.client_assertion import ASSERTION_TYPE, ClientAssertion
from cds_service.adapters.signing_keys import SigningKeyFile
from cds_service.settings import SIGNING_KEYS
from tests.e2e.running_demo import Demo, running_demo
from tests.real.pages import wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("e2e")]

WAIT_MS = 90_000  # for what a worker does, on a machine that has much else to do


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo of its own: the other tests count on findings that nobody has judged."""
    with running_demo(tmp_path_factory.mktemp("reviewed")) as demo:
        yield demo


def open_app(page: Page, demo: Demo, patient: str) -> Frame:
    """Open the app from a result in the patient's chart."""
    open_chart(page, demo, patient)
    page.get_by_role("button", name="Open in Sightline").first.click(timeout=WAIT_MS)
    expect(page.frame_locator("#frame").locator(".review")).to_be_visible(timeout=WAIT_MS)
    frame = page.frame("activity")
    assert frame is not None
    return frame


def open_chart(page: Page, demo: Demo, patient: str) -> None:
    page.goto(f"{demo.chart}/chart/{patient}")
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "false", timeout=WAIT_MS)


def in_record(demo: Demo, kind: str, query: str) -> list[dict[str, Any]]:
    """Read the EHR as the backend service that Sightline is."""
    token_url = f"{demo.chart}/auth/token"
    assertion = ClientAssertion(SigningKeyFile(demo.data / SIGNING_KEYS).read)
    form = {
        "grant_type": "client_credentials",
        "scope": f"system/{kind}.rs",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion.sign("sightline", token_url),
    }
    token = requests.post(token_url, data=form, timeout=30).json()["access_token"]
    bundle = requests.get(
        f"{demo.addresses['fhir']}/{kind}?{query}",
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
    ).json()
    return [entry["resource"] for entry in bundle.get("entry", [])]


def observation(demo: Demo, patient: str) -> dict[str, Any]:
    [found] = in_record(demo, "Observation", f"patient={patient}")
    return found


def told(app: Frame, words: str) -> None:
    expect(app.locator(".standing")).to_contain_text(words, timeout=WAIT_MS)


def test_a_disagreement_its_undoing_and_an_agreement_reach_the_chart(
    page: Page, demo: Demo
) -> None:
    app = open_app(page, demo, "p101")
    app.evaluate("window.stillTheSamePage = true")

    app.get_by_text("Disagree…").click()
    app.get_by_label("Artefact").check()
    app.get_by_role("button", name="Save: disagree").click()
    told(app, "in the chart as entered in error")
    rejected = observation(demo, "p101")
    assert rejected["status"] == "entered-in-error"
    assert rejected["note"][-1]["text"].endswith("Reason: artefact, device or overlying structure.")

    app.get_by_role("button", name="Undo").click()
    told(app, "in the chart as preliminary again")
    assert observation(demo, "p101")["status"] == "preliminary"

    app.get_by_role("button", name="Agree", exact=True).click()
    told(app, "in the chart as final, verified by you")
    final = observation(demo, "p101")
    assert (final["status"], final["id"]) == ("final", rejected["id"])
    of_clinician = [
        one
        for one in in_record(demo, "Provenance", f"target=Observation/{final['id']}")
        if one["agent"][0]["who"]["reference"] == "Practitioner/clinician"
    ]
    assert sorted(
        (one["agent"][0]["type"]["coding"][0]["code"], one["activity"]["coding"][0]["code"])
        for one in of_clinician
    ) == [("enterer", "REACTIVATE"), ("verifier", "COMPLETE"), ("verifier", "NULLIFY")]
    assert app.evaluate("window.stillTheSamePage")

    open_chart(page, demo, "p101")
    expect(page.locator(".card")).to_have_count(0)  # acknowledged: nobody is told again


def test_a_verdict_given_while_no_worker_works_is_written_by_the_next(
    page: Page, demo: Demo
) -> None:
    app = open_app(page, demo, "p107")
    with demo.with_the_worker_held():
        app.get_by_role("button", name="Agree", exact=True).first.click()
        expect(app.locator(".standing").first).to_contain_text("Saved; being written to the chart.")

    expect(app.locator(".standing").first).to_contain_text("as final", timeout=WAIT_MS)


def test_a_comment_is_nowhere_but_sealed_in_the_ledger(page: Page, demo: Demo) -> None:
    app = open_app(page, demo, "p102")
    app.get_by_text("Comment…").click()
    app.get_by_label("Comment", exact=True).fill("drip line of yesterday")
    app.get_by_role("button", name="Save comment").click()
    told(app, "Your comment: drip line of yesterday")

    [(sealed,)] = demo.ledger("SELECT sealed_comment FROM review WHERE sealed_comment NOT NULL")
    kept = [*demo.data.glob("logs/*.log"), *demo.data.glob("redis/**/*.aof"), demo.child.log]
    kept += demo.data.glob("ledger.sqlite*")
    assert len(kept) >= 6
    assert [path.name for path in kept if b"drip line" in path.read_bytes()] == []
    assert b"drip line" not in sealed
    assert "drip line" not in json.dumps(in_record(demo, "Observation", "patient=p102"))


def test_a_box_is_drawn_with_the_mouse_and_then_moved_with_the_keyboard(
    page: Page, demo: Demo
) -> None:
    app = open_app(page, demo, "p109")
    app.get_by_text("Wrong place…").click()
    drawing = app.locator(".drawing")
    expect(drawing).to_be_visible(timeout=WAIT_MS)
    drawing.scroll_into_view_if_needed()
    frame = drawing.bounding_box()
    assert frame is not None
    page.mouse.move(frame["x"] + frame["width"] * 0.2, frame["y"] + frame["height"] * 0.3)
    page.mouse.down()
    page.mouse.move(frame["x"] + frame["width"] * 0.5, frame["y"] + frame["height"] * 0.6, steps=5)
    page.mouse.up()
    app.get_by_role("button", name="Save: wrong place").click()
    told(app, "You marked another place")

    drawn, image = last_region(demo), image_size(app)
    assert drawn["left"] == pytest.approx(image["columns"] * 0.2, abs=image["columns"] * 0.02)
    assert drawn["height"] == pytest.approx(image["rows"] * 0.3, abs=image["rows"] * 0.02)

    app.get_by_text("Wrong place…").press("Enter")
    expect(drawing).to_be_visible(timeout=WAIT_MS)
    drawing.press("Alt+ArrowRight")
    drawing.press("Alt+Shift+ArrowUp")
    app.get_by_role("button", name="Save: wrong place").press("Enter")
    expect(drawing).to_have_count(0, timeout=WAIT_MS)

    assert last_region(demo) == drawn | {"left": drawn["left"] + 1, "height": drawn["height"] - 1}
    told(app, "in the chart as final, verified by you, with a note on the place")
    assert "elsewhere in the image" in observation(demo, "p109")["note"][-1]["text"]


def last_region(demo: Demo) -> dict[str, int]:
    [(region,)] = demo.ledger("SELECT region FROM review ORDER BY seq DESC LIMIT 1")
    return dict(json.loads(region))


def image_size(app: Frame) -> dict[str, int]:
    address = app.locator(".review").get_attribute("data-size")
    return dict(app.evaluate("async url => await (await fetch(url)).json()", address))


@pytest.mark.parametrize("choice", ["Disagree…", "Wrong place…", "Comment…"])
def test_in_a_side_panel_nothing_scrolls_sideways(page: Page, demo: Demo, choice: str) -> None:
    app = open_app(page, demo, "p109")
    page.get_by_role("button", name="Side panel").click()
    wait_until(app, "innerWidth < 400")

    app.get_by_text(choice).click()

    inner, whole = app.evaluate("[innerWidth, document.documentElement.scrollWidth]")
    assert whole <= inner
