"""Reviewing a finding by plain forms: who may, what is kept, and what the page says of it."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import unescape
from typing import Any

import numpy as np
import pytest

from cds_service.domain.audit import AuditAction
from cds_service.domain.finding import Box
from cds_service.domain.review import Reason, Review, Verdict, WriteState
from cds_service.domain.tenant import Tenant, Vendor
from tests.builders import NOW, a_finding, a_result, an_analysis
from tests.fakes.imaging import STUDY_UID, FakeArchive
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import PUBLIC_URL, Browser, House, a_radiograph, a_seen_result

CODE = "233604007"


@dataclass
class Opened:
    """The page of patient p-1 with one finding, in one browser."""

    house: House
    browser: Browser
    address: str

    @property
    def page(self) -> str:
        return unescape(self.browser.get(self.address).text)

    @property
    def action(self) -> str:
        found = re.search(r'action="([^"]+/review)"', self.page)
        assert found
        return found.group(1)

    @property
    def token(self) -> str:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.page)
        assert found
        return found.group(1)

    def say(self, verdict: str, headers: dict[str, str] | None = None, **form: str) -> Any:
        values = {"csrf_token": self.token, "verdict": verdict} | form
        return self.browser.client.post(
            self.action, base_url=PUBLIC_URL, data=values, headers=headers or {}
        )

    @property
    def kept(self) -> list[Review]:
        return self.house.reviews.all

    @property
    def words(self) -> str:
        """Return what the review's part says, without its tags."""
        part = re.search(r'<section class="review".*?</section>', self.page, re.DOTALL)
        assert part
        return " ".join(re.sub(r"<[^>]+>", " ", part.group(0)).split())


Open = Callable[..., Opened]


@pytest.fixture
def open_page(house: House, browser: Browser, tenant: Tenant, launch_of: LaunchOf) -> Open:
    """Open the chart with an image of 48 x 64 pixels; `user` and the registration may be set."""

    def opened(user: str = "Practitioner/clinician", **registration: Any) -> Opened:
        if registration:
            house.tenants.remove(tenant.id)
            house.tenants.add(replace(tenant, **registration))
        house.keep(a_seen_result(house.instance))
        return Opened(house, browser, browser.open(tenant.fhir_base, launch_of(user=user)))

    return opened


@pytest.fixture
def opened(open_page: Open) -> Opened:
    return open_page()


def test_a_verdict_is_kept_shown_and_changed(opened: Opened) -> None:
    agreed = opened.say("agree")
    assert "You agreed on" in opened.words

    disagreed = opened.say("disagree", reason="artefact")

    assert agreed.status_code == disagreed.status_code == 303
    assert [one.verdict for one in opened.kept] == [Verdict.AGREE, Verdict.DISAGREE]
    assert opened.kept[1].reason is Reason.ARTEFACT
    shown = unescape(opened.browser.get(disagreed.location).text)
    assert "You disagreed on" in shown and "artefact, device or overlying structure" in shown
    assert [event.action for event in opened.house.audit.events].count(
        AuditAction.FINDING_REVIEWED
    ) == 2
    assert opened.house.doorbell.rung == ["review:r-1"] * 2


def test_undo_takes_the_answer_back_and_keeps_the_history(opened: Opened) -> None:
    opened.say("agree")
    assert "Undo" in opened.words

    opened.say("withdrawn")

    assert [one.verdict for one in opened.kept] == [Verdict.AGREE, Verdict.WITHDRAWN]
    assert "You took your answer back" in opened.words and "Undo" not in opened.words


def test_a_double_click_is_one_review(opened: Opened) -> None:
    for _ in range(2):
        assert opened.say("disagree", reason="other", comment="twice").status_code == 303

    assert len(opened.kept) == 1


def test_a_place_is_kept_in_pixels_of_the_image(opened: Opened) -> None:
    answer = opened.say("wrong-place", left="4", top="5", width="20", height="30")

    assert answer.status_code == 303
    assert opened.kept[0].region == Box(4, 5, 20, 30)
    assert re.search(r'name="left"[^>]*value="4"', opened.page)


@pytest.mark.parametrize(
    ("verdict", "form", "words"),
    [
        ("", {}, "A review says agree"),
        ("maybe", {}, "A review says agree"),
        ("disagree", {}, "needs one of the reasons"),
        ("disagree", {"reason": "because"}, "needs one of the reasons"),
        ("comment", {"comment": " \r\n "}, "no comment"),
        ("agree", {"comment": "x" * 1001}, "at most 1000 characters"),
        ("wrong-place", {}, "four whole numbers"),
        (
            "wrong-place",
            {"left": "1", "top": "1", "width": "1e9", "height": "1"},
            "four whole numbers",
        ),
        (
            "wrong-place",
            {"left": "40", "top": "1", "width": "9", "height": "1"},
            "image of 48 x 64 pixels",
        ),
        (
            "wrong-place",
            {"left": "1", "top": "60", "width": "1", "height": "5"},
            "image of 48 x 64 pixels",
        ),
        (
            "wrong-place",
            {"left": "-1", "top": "1", "width": "9", "height": "1"},
            "image of 48 x 64 pixels",
        ),
        (
            "wrong-place",
            {"left": "1", "top": "1", "width": "9", "height": "1"},
            "too small to mark a place",
        ),
    ],
)
def test_what_is_incomplete_is_refused_with_what_to_put_right(
    opened: Opened, verdict: str, form: dict[str, str], words: str
) -> None:
    answer = opened.say(verdict, **form)

    assert answer.status_code == 400 and words in answer.text and opened.kept == []
    assert "The review was not kept" in answer.text


def test_a_comment_is_shown_to_its_author_and_never_in_a_log_or_an_address(
    opened: Opened, caplog: pytest.LogCaptureFixture
) -> None:
    answer = opened.say("comment", comment="Known <b>since</b> 2024,\r\nsee letter")
    opened.say("agree")

    assert opened.kept[0].comment == "Known <b>since</b> 2024,\nsee letter"
    page = opened.browser.get(opened.address).text
    assert "Known &lt;b&gt;since&lt;/b&gt; 2024," in page and "<b>since" not in page
    for place in (caplog.text, answer.location, repr(opened.house.audit.events)):
        assert "since" not in place


def test_the_part_alone_answers_a_script(opened: Opened) -> None:
    saved = opened.say("agree", after="panel")

    part = opened.browser.get(saved.location)

    assert saved.status_code == 303 and saved.location.endswith(f"/r/r-1/{CODE}/review/panel")
    assert part.text.lstrip().startswith("<section") and "You agreed on" in part.text
    assert "<html" not in part.text


def test_the_image_s_size_is_told(opened: Opened) -> None:
    size = opened.browser.get(f"{opened.action}/image").json
    assert size == {"columns": 48, "rows": 64, "spacing_mm": None, "edges": None, "smallest": 2}


def test_a_finding_that_is_not_there_has_no_place(
    house: House, browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    house.keep(a_result(analysis=an_analysis(findings=(a_finding(present=False),))))

    page = browser.get(browser.open(tenant.fhir_base, launch_of())).text

    assert "Wrong place" not in page
    assert 'value="finding-present"' in page and 'value="finding-absent"' not in page


# --- who may, and from where ------------------------------------------------------------------


@pytest.mark.parametrize("token", ["", "guessed", "gueßed"])
def test_a_form_without_the_launch_s_token_is_refused(opened: Opened, token: str) -> None:
    answer = opened.say("agree", csrf_token=token)

    assert answer.status_code == 403 and opened.kept == []


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 303),
        ({"Origin": PUBLIC_URL}, 303),
        ({"Origin": "null"}, 303),  # our pages send no referrer
        ({"Sec-Fetch-Site": "same-origin", "Origin": "null"}, 303),
        ({"Origin": "https://attacker.example"}, 403),
        ({"Origin": f"{PUBLIC_URL}.attacker.example"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "none"}, 403),
    ],
)
def test_a_form_from_elsewhere_is_refused_even_with_the_token(
    opened: Opened, headers: dict[str, str], status: int
) -> None:
    answer = opened.say("agree", headers)

    assert answer.status_code == status and bool(opened.kept) is (status == 303)


def test_a_patient_s_own_login_cannot_review(open_page: Open) -> None:
    opened = open_page(user="Patient/p-1", app_users=("Practitioner", "Patient"))

    assert "Only a clinician" in opened.page and "csrf" not in opened.page
    assert "Sentence for your report" in opened.page


def test_a_clinician_whom_the_site_lets_not_review_is_told_so(open_page: Open) -> None:
    opened = open_page(reviewers=("PractitionerRole", "Practitioner/radiologist"))

    assert "lets other clinicians review" in opened.page and "csrf" not in opened.page


@pytest.mark.parametrize("reviewers", [("Practitioner",), ("Practitioner/clinician",)])
def test_a_clinician_whom_the_site_names_reviews(
    open_page: Open, reviewers: tuple[str, ...]
) -> None:
    opened = open_page(reviewers=reviewers)

    assert opened.say("agree").status_code == 303 and len(opened.kept) == 1


def test_a_rule_that_changes_holds_for_an_open_session(
    open_page: Open, house: House, tenant: Tenant
) -> None:
    opened = open_page()
    action, token = opened.action, opened.token
    house.tenants.remove(tenant.id)
    house.tenants.add(replace(tenant, reviewers=("PractitionerRole",)))

    answer = opened.browser.post(action, csrf_token=token, verdict="agree")

    assert answer.status_code == 403 and opened.kept == []


def test_without_the_scope_to_read_observations_nothing_about_them_is_changed(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    action, token = opened.action, opened.token
    monkeypatch.setattr("smart_app.review_panel.allows", lambda *_: False)

    answer = opened.browser.post(action, csrf_token=token, verdict="agree")

    assert answer.status_code == 403 and opened.kept == []
    assert "patient/Observation.rs" in opened.page and "csrf" not in opened.page


def test_another_patient_s_result_is_not_found(opened: Opened) -> None:
    other = a_result(id="r-2", key="k-2", patient_id="p-2", study_uid="1.2.840.99999.2")
    action = opened.action.replace("r-1", "r-2")
    token = opened.token
    opened.house.keep(other)

    said = opened.browser.post(action, csrf_token=token, verdict="agree")

    assert said.status_code == 404 and opened.kept == []
    for part in ("panel", "image"):
        assert opened.browser.get(f"{action}/{part}").status_code == 404


def test_a_wrong_method_does_nothing(opened: Opened) -> None:
    answer = opened.browser.get(opened.action)

    assert answer.status_code == 404 and opened.kept == []


# --- what becomes of it -----------------------------------------------------------------------


def test_the_page_says_that_it_is_being_written_and_then_that_it_is_in_the_chart(
    opened: Opened,
) -> None:
    opened.say("agree")
    assert "Saved; being written to the chart." in opened.words
    assert "data-waiting" in opened.page

    lease = opened.house.reviews.writes.take("r-1")
    assert lease is not None
    opened.house.reviews.writes.settle(lease, WriteState.DONE)

    assert "Saved; in the chart as final, verified by you." in opened.words
    assert "data-waiting" not in opened.page


def test_an_ehr_that_is_away_is_named_as_the_reason_for_waiting(opened: Opened) -> None:
    opened.say("agree")
    lease = opened.house.reviews.writes.take("r-1")
    assert lease is not None

    opened.house.reviews.writes.postpone(lease, "EhrBusy")

    assert "did not take it yet (EhrBusy)" in opened.words and "data-waiting" in opened.page


def test_a_refusal_is_told(opened: Opened) -> None:
    opened.say("agree")
    lease = opened.house.reviews.writes.take("r-1")
    assert lease is not None

    lost = ("the EHR refused the Observation: EhrRefused",)
    opened.house.reviews.writes.settle(lease, WriteState.FAILED, lost=lost)

    assert f"Not in the chart: {lost[0]}." in opened.words


@pytest.mark.parametrize(
    ("vendor", "words"),
    [(Vendor.EPIC, "flowsheet rows"), (Vendor.ORACLE, "vital signs and laboratory")],
)
def test_where_the_ehr_takes_none_the_page_says_so_at_once(
    open_page: Open, vendor: Vendor, words: str
) -> None:
    opened = open_page(vendor=vendor)

    opened.say("agree")

    assert "Saved in Sightline. Not written to the chart:" in opened.words
    assert words in opened.words and "data-waiting" not in opened.page


def test_another_clinician_s_verdict_is_seen(opened: Opened) -> None:
    other = Review("t-1", "r-1", CODE, Verdict.DISAGREE, "Practitioner/9", NOW)
    opened.house.reviews.record(other, to_chart=True)

    assert "Another clinician disagreed on" in opened.words
    assert "You disagreed" not in opened.words

    opened.say("agree")
    assert "Another clinician" not in opened.words  # the newest stands


def test_the_report_sentence_follows_the_verdict(opened: Opened) -> None:
    assert "threshold 0.62); not reviewed by a clinician." in opened.words

    opened.say("disagree", reason="finding-absent")

    assert "reviewed by clinician: disagree (the finding is not there)." in opened.words


def test_a_large_image_s_place_is_told_in_its_own_pixels(
    house: House, browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    house.instance = a_radiograph(np.linspace(0, 4095, 2100 * 1800).reshape(2100, 1800))
    house.swap(archive=FakeArchive({STUDY_UID: [house.instance]}))
    house.keep(a_seen_result(house.instance))
    opened = Opened(house, browser, browser.open(tenant.fhir_base, launch_of()))

    size = opened.browser.get(f"{opened.action}/image").json
    expected = {"columns": 1800, "rows": 2100, "spacing_mm": None, "edges": None, "smallest": 10}
    assert size == expected
