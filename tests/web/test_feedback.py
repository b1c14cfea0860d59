"""Feedback in every form that clients send it, to the row in the ledger and back to the model."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cds_service.domain.card import Feedback, Outcome, ShownCard
from cds_service.domain.dialect import DialectName
from cds_service.errors import MalformedHook
from cds_service.web.feedback_json import MAX_REPORTS, feedback
from tests.web.conftest import FrontDoor
from tests.web.ehr_client import SERVICE_URL

EPIC = "com.epic.cdshooks.feedback.overrideReason"


def a_report(**changes: Any) -> dict[str, Any]:
    report = {
        "card": "card-1",
        "outcome": "overridden",
        "outcomeTimestamp": "2026-01-05T09:00:00Z",
    }
    return {name: value for name, value in (report | changes).items() if value is not ...}


def read(**changes: Any) -> Feedback:
    (report,) = feedback({"feedback": [a_report(**changes)]}, tenant_id="t-1")
    return report


def send(door: FrontDoor, *reports: Any) -> Any:
    headers = {"Authorization": f"Bearer {door.ehr.token(aud=f'{SERVICE_URL}/feedback')}"}
    return door.post({"feedback": list(reports)}, path="/feedback", headers=headers)


# --- what is read ----------------------------------------------------------------------------


def test_ch2_165_166_a_reason_is_kept_and_of_a_comment_only_that_there_was_one() -> None:
    reason = {"system": "https://example.org", "code": "c", "display": "Not now"}

    report = read(overrideReason={"reason": reason, "userComment": "Jane Doe"})

    assert report.reason is not None and report.reason.display == "Not now"
    assert report.has_comment and "Jane" not in repr(report)


def test_ch2_160_an_override_without_a_reason_is_an_override() -> None:
    assert read().reason is None and read(overrideReason={}).outcome is Outcome.OVERRIDDEN


def test_ch2_158_162_accepted_suggestions_are_kept() -> None:
    report = read(outcome="accepted", acceptedSuggestions=[{"id": "s-1"}, {"id": "s-2"}])

    assert report.suggestion_ids == ("s-1", "s-2")


@pytest.mark.parametrize("suggestions", [..., None, [], {}, "s-1", [{}], ["s-1"], [{"id": None}]])
def test_an_accepted_card_that_names_no_suggestion_is_recorded_all_the_same(
    suggestions: Any,
) -> None:
    report = read(outcome="accepted", acceptedSuggestions=suggestions)

    assert report.outcome is Outcome.ACCEPTED and report.suggestion_ids == ()


@pytest.mark.parametrize("wrap", [lambda reason: reason, lambda reason: [reason]])
def test_epic_s_override_reasons_with_a_reason_are_read(wrap: Any) -> None:
    stated = {
        "reason": {"code": "1", "display": "Inappropriate", "system": "urn:oid:1.2"},
        "userComment": "",
    }

    report = read(overrideReasons=wrap(stated))

    assert report.reason is not None and report.reason.display == "Inappropriate"
    assert not report.has_comment


def test_epic_s_own_reason_is_read_from_its_extension() -> None:
    extension = {
        f"{EPIC}.reasonCategory": 3,
        f"{EPIC}.reasonDisplay": "Not clinically appropriate",
        f"{EPIC}.reasonTitle": "Inappropriate",
    }

    report = read(overrideReasons={"extension": extension, "userComment": "free text"})

    assert report.reason is not None
    assert (report.reason.system, report.reason.code) == (EPIC, "3")
    assert report.reason.display == "Not clinically appropriate" and report.has_comment


@pytest.mark.parametrize(
    "stated",
    [None, "none", 5, [], ["x"], {"reason": "c"}, {"reason": {"code": ""}}, {"extension": []}],
)
def test_a_reason_that_says_nothing_is_no_reason(stated: Any) -> None:
    assert read(overrideReason=stated).reason is None
    assert read(overrideReasons=stated).reason is None


def test_ch2_161_the_time_is_kept_in_utc_whatever_zone_it_came_with() -> None:
    assert read(outcomeTimestamp="2026-01-05T10:00:00+01:00").outcome_at == datetime(
        2026, 1, 5, 9, tzinfo=UTC
    )
    assert read(outcomeTimestamp="2026-01-05T09:00:00.123456789Z").outcome_at.microsecond == 123456


@pytest.mark.parametrize(
    "changes",
    [
        {"card": "two\nlines"},
        {"card": "nul\x00"},
        {"card": "\ud800"},
        {"card": "x" * 257},
        {"outcomeTimestamp": "0001-01-01T00:00:00+14:00"},
        {"outcomeTimestamp": ...},
        {"outcome": "ignored"},
    ],
)
def test_what_no_ledger_could_hold_is_refused_by_its_name(changes: dict[str, Any]) -> None:
    with pytest.raises(MalformedHook, match=next(iter(changes))):
        read(**changes)


def test_a_reason_that_no_ledger_could_hold_is_cleaned() -> None:
    report = read(overrideReason={"reason": {"code": "c\ud800", "display": "a\x00b" + "x" * 500}})

    assert report.reason is not None
    assert report.reason.code == "c" and len(report.reason.display) == 256


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from(["reason", "extension", "code", "id"]), children)
    ),
    max_leaves=8,
)


# The first text of a fresh checkout reads Hypothesis's Unicode tables, which takes a second.
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            (
                *("card", "outcome", "outcomeTimestamp", "overrideReason", "overrideReasons"),
                "acceptedSuggestions",
            ),
            JSON,
        ),
    )
)
def test_whatever_a_report_holds_it_is_read_or_refused(report: dict[str, Any]) -> None:
    try:
        feedback({"feedback": [a_report(**report)]}, tenant_id="t-1")
    except MalformedHook as refusal:
        assert "must be" in str(refusal)


# --- at the door -----------------------------------------------------------------------------


@pytest.mark.parametrize("card", ["123456", "4E0A3A1E-3283-4575-AB82-028D55FE2719", "Karte/ä"])
def test_ch2_155_a_card_id_need_not_be_a_uuid(door: FrontDoor, card: str) -> None:
    door.house.cards.shown("t-1", ShownCard(card))

    assert send(door, a_report(card=card)).status_code == 200
    assert [card_uuid for _, card_uuid, _, _ in door.house.cards.reports] == [card]


def test_a_batch_that_is_sent_again_is_stored_once(door: FrontDoor) -> None:
    door.house.cards.shown("t-1", ShownCard("card-1"), ShownCard("card-2"))
    batch = [a_report(), a_report(card="card-2"), a_report(), a_report(outcome="accepted")]

    first, again = send(door, *batch), send(door, *batch)

    assert first.status_code == again.status_code == 200
    assert len(door.house.cards.reports) == 3


def test_a_report_that_comes_days_later_is_stored(door: FrontDoor) -> None:
    door.house.cards.shown("t-1", ShownCard("card-1"))
    door.house.clock.advance(72 * 3600)

    door.ehr.token()
    now = door.house.clock.now
    token = door.ehr.token(now=now, aud=f"{SERVICE_URL}/feedback")
    answer = door.post(
        {"feedback": [a_report()]}, path="/feedback", headers={"Authorization": f"Bearer {token}"}
    )

    assert answer.status_code == 200 and len(door.house.cards.reports) == 1


def test_the_real_feedback_of_ahrq_can_be_sent_twice(door: FrontDoor, shared_data: Path) -> None:
    reports = json.loads((shared_data / "cds-hooks/ahrq/feedback.json").read_text())["feedback"]
    door.house.cards.shown("t-1", ShownCard(reports[0]["card"]))

    send(door, *reports)
    send(door, *reports)

    stored = list(door.house.cards.reports.values())
    assert [one.outcome for one in stored] == [Outcome.ACCEPTED, Outcome.OVERRIDDEN]
    assert stored[0].suggestion_ids == ("e56e1945-20b3-4393-8503-a1a20fd73152",)
    assert stored[1].reason is not None and stored[1].reason.code == "d7ecf885"


def test_a_batch_as_large_as_we_read_is_taken(door: FrontDoor) -> None:
    assert send(door, *[a_report()] * MAX_REPORTS).status_code == 200


def test_a_1_0_ehr_whose_cards_have_no_uuid_may_still_report(door: FrontDoor) -> None:
    door.tenants.remove("t-1")
    door.tenants.add(door.ehr.tenant(dialect=DialectName.V1_0))

    assert send(door, a_report()).status_code == 200
