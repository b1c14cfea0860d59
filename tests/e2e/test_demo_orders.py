"""Orders, discharge and their hooks in the demo's chart, in a real browser.

Source: CDS Hooks Library 1.0.1 (order-select, order-sign, order-dispatch, encounter-start,
encounter-discharge, appointment-book); CDS Hooks 2.0 "Suggestion", "Feedback".
"""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.e2e.running_demo import Demo
from tests.e2e.test_demo import DAY, frame_after, open_chart

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.xdist_group("e2e")]

WAIT_MS = 60_000
CHEST = "Chest X-ray, two views"


def done(page: Page, words: str) -> None:
    """Wait until the chart says so."""
    expect(page.locator("#note")).to_contain_text(words, timeout=WAIT_MS)
    expect(page.locator("#cards")).to_have_attribute("aria-busy", "false", timeout=WAIT_MS)


def draft(page: Page, name: str = CHEST) -> Locator:
    """Draft an order; return its line."""
    page.get_by_label("New imaging order").select_option(label=name)
    page.get_by_role("button", name="Draft order").click()
    done(page, f"{name} drafted")
    return page.locator("[data-order][data-status=draft]").filter(has_text=name)


def about_the_order(page: Page) -> Locator:
    """Return the order check's card."""
    return page.locator(".card[data-about]")


def sign(page: Page) -> None:
    """Press "Sign" and wait for what comes of it."""
    page.get_by_role("button", name="Sign: ").click()
    done(page, "(order-sign)")


def test_an_order_cites_the_comparable_study_and_its_removal_is_reported(
    page: Page, demo: Demo
) -> None:
    open_chart(page, demo, "p102")

    line = draft(page)

    card = about_the_order(page)
    expect(card.locator("h3")).to_have_text(
        re.compile(
            f"A comparable study of {DAY} already has an AI read: AI found no signs of pneumonia"
        )
    )
    uuid = card.get_attribute("data-card")
    remove = card.get_by_role("button", name="Remove the draft order (X-ray, chest)")
    suggestion = remove.get_attribute("data-suggestion")
    assert uuid is not None and suggestion is not None
    remove.click()
    expect(card.locator(".outcome")).to_have_text(
        "Accepted. The AI service was told.", timeout=WAIT_MS
    )
    expect(line).to_have_count(0)
    assert demo.ledger(
        "SELECT outcome, json_extract(suggestion_ids, '$[0]') FROM feedback WHERE card_uuid = ?",
        uuid,
    ) == [("accepted", suggestion)]


def test_an_override_is_recorded_with_its_reason_and_quiets_the_card_when_signing(
    page: Page, demo: Demo
) -> None:
    open_chart(page, demo, "p101")
    draft(page)
    card = about_the_order(page)
    uuid = card.get_attribute("data-card")
    assert uuid is not None

    card.get_by_role("button", name="Dismiss…").click()
    reason = card.get_by_role("radio").first
    words = reason.locator("xpath=..").inner_text().strip()
    reason.check()
    card.get_by_role("button", name="Dismiss", exact=True).click()
    expect(card.locator(".outcome")).to_have_text(
        "Dismissed. The AI service was told.", timeout=WAIT_MS
    )
    sign(page)

    expect(about_the_order(page)).to_have_count(0)
    expect(page.locator("[data-order][data-status=draft]")).to_have_count(0)
    expect(page.locator("[data-order][data-status=active]").filter(has_text=CHEST)).to_have_count(1)
    [(outcome, said)] = demo.ledger(
        "SELECT outcome, json_extract(reason, '$.display') FROM feedback WHERE card_uuid = ?", uuid
    )
    assert (outcome, said) == ("overridden", words)


def test_an_unanswered_card_holds_the_signature_and_the_keyboard_alone_can_insist(
    page: Page, demo: Demo
) -> None:
    open_chart(page, demo, "p109")
    expect(page.locator(".card h3").first).to_contain_text("signs of pneumonia", timeout=WAIT_MS)
    draft(page)

    page.get_by_role("button", name="Sign: ").focus()
    page.keyboard.press("Enter")
    done(page, "Not signed yet")

    assert page.evaluate("document.activeElement.id") == "note"
    expect(about_the_order(page)).to_be_visible()
    page.get_by_role("button", name="Sign anyway: ").focus()
    page.keyboard.press("Enter")
    done(page, "Signed")
    page.get_by_role("button", name="Send to radiology").click()
    done(page, "(order-dispatch)")
    expect(page.locator("#orders")).to_contain_text("sent to radiology")


def test_a_next_step_is_no_repetition_and_is_signed_at_once(page: Page, demo: Demo) -> None:
    open_chart(page, demo, "p102")

    draft(page, "CT chest")
    sign(page)

    expect(about_the_order(page)).to_have_count(0)
    expect(page.locator("#note")).to_have_text("Signed (order-sign)")


def test_an_acknowledged_suggestion_becomes_a_task_in_the_record(page: Page, demo: Demo) -> None:
    open_chart(page, demo, "p109")
    card = page.locator(".card").filter(has_text="signs of pneumonia")
    expect(card).to_be_visible(timeout=WAIT_MS)

    card.get_by_role("button", name="I have seen this finding").click()

    done(page, "Done: Note that the AI finding was seen")
    task = page.locator('[data-order^="Task/"]')
    expect(task).to_contain_text("AI finding seen")
    expect(open_chart(page, demo, "p109")).to_have_count(0, timeout=WAIT_MS)


def test_a_discharge_shows_what_nobody_reviewed_until_somebody_agreed_in_the_app(
    page: Page, demo: Demo
) -> None:
    open_chart(page, demo, "p107")

    page.get_by_role("button", name="Discharge…").click()
    done(page, "(encounter-discharge)")

    unreviewed = page.locator(".card").filter(has_text="Not yet reviewed: Chest X-ray")
    expect(unreviewed).to_have_count(1)
    app = frame_after(page, unreviewed.locator("[data-launch]"))
    app.get_by_role("button", name="Agree", exact=True).click()
    expect(app.get_by_text("You agreed on")).to_be_visible(timeout=WAIT_MS)
    page.get_by_role("button", name="Close").click()
    page.get_by_role("button", name="Not yet").click()
    done(page, "The visit goes on")
    page.get_by_role("button", name="Discharge…").click()
    done(page, "(encounter-discharge)")
    expect(unreviewed).to_have_count(0)

    page.get_by_role("button", name="Complete discharge").click()
    done(page, "Discharged")
    page.get_by_role("button", name="Open a visit").click()
    done(page, "(encounter-start)")
    page.get_by_role("button", name="Book a follow-up").click()
    done(page, "(appointment-book)")


def test_what_was_said_is_closed_at_first_and_shows_no_token(page: Page, demo: Demo) -> None:
    open_chart(page, demo, "p102")
    exchange = page.locator(".exchange")
    expect(exchange).to_have_count(0)

    page.get_by_text("What was said").click()

    expect(exchange).to_have_count(1, timeout=WAIT_MS)
    for words in ('"hook": "patient-view"', '"cards"', '"access_token": "(hidden)"', " ms", "2.0"):
        expect(exchange).to_contain_text(words)
    draft(page, "MRI brain")
    expect(exchange).to_have_count(2, timeout=WAIT_MS)  # both services were asked
    assert "eyJ" not in page.content()
    page.get_by_role("button", name="Remove: ").click()
    done(page, "Draft removed")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_side_panel_of_380_px_needs_no_sideways_scrolling(
    page: Page, demo: Demo, scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 380, "height": 800})
    open_chart(page, demo, "p102")
    draft(page)
    page.get_by_text("What was said").click()
    expect(page.locator(".exchange").first).to_be_visible(timeout=WAIT_MS)

    width = page.evaluate("document.documentElement.scrollWidth")

    assert width == 380
    page.get_by_role("button", name="Remove: ").click()
    done(page, "Draft removed")
