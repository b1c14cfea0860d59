"""CDS Hooks feedback: JSON to reports, naming the field that is wrong.

Every form that clients are known to send is read: a card's id is any text, an accepted card may
name no suggestion, and the reason of an override comes in four forms.

Source: CDS Hooks 2.0 "Feedback" (ch2:148-167); Epic writes `overrideReasons` and extensions (its
CDS Hooks tutorial, 2024); AHRQ's fixture accepts and overrides one card in one request.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from cds_service.domain.card import Feedback, Outcome
from cds_service.domain.finding import Coding
from cds_service.errors import MalformedHook
from cds_service.web.hook_json import TEXT_LIMIT, require_object

MAX_REPORTS = 500  # of one feedback request; Epic sends them in batches
MAX_SUGGESTIONS = 20  # of one card
EPIC_REASON = "com.epic.cdshooks.feedback.overrideReason"


def feedback(document: object, *, tenant_id: str) -> list[Feedback]:
    """Read a feedback request; raise MalformedHook for the whole when one report is wrong."""
    reports = require_object(document, "The body").get("feedback")
    if not isinstance(reports, list) or len(reports) > MAX_REPORTS:
        raise MalformedHook(f"'feedback' must be an array of at most {MAX_REPORTS} reports.")
    return [_report(report, tenant_id) for report in reports]


def _report(value: object, tenant_id: str) -> Feedback:
    report = require_object(value, "A report")
    try:
        outcome = Outcome(str(report.get("outcome")))
    except ValueError:
        raise MalformedHook("'outcome' must be 'accepted' or 'overridden'.") from None
    stated = _stated_reason(report)
    suggestions = report.get("acceptedSuggestions")
    named = [
        _text(one.get("id"))
        for one in (suggestions if isinstance(suggestions, list) else [])[:MAX_SUGGESTIONS]
        if isinstance(one, dict)
    ]
    return Feedback(
        tenant_id=tenant_id,
        card_uuid=_card(report.get("card")),
        outcome=outcome,
        outcome_at=_instant(report.get("outcomeTimestamp")),
        reason=_coding(stated.get("reason")) or _epic_reason(stated.get("extension")),
        has_comment=bool(stated.get("userComment")),
        suggestion_ids=tuple(one for one in named if one),
    )


def _card(value: object) -> str:
    """Return the card's id: not always a UUID, but never one that no ledger could hold."""
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LIMIT or not value.isprintable():
        raise MalformedHook(f"'card' must be a text of 1 to {TEXT_LIMIT} printable characters.")
    return value


def _stated_reason(report: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the override reason; of several the first."""
    reason = report.get("overrideReason") or report.get("overrideReasons")
    if isinstance(reason, list):
        reason = reason[0] if reason else None
    return reason if isinstance(reason, dict) else {}


def _coding(value: object) -> Coding | None:
    """Read a reason; the CDS Hooks sandbox sends no display, and no system if we gave none."""
    if not isinstance(value, dict) or not (code := _text(value.get("code"))):
        return None
    return Coding(_text(value.get("system")), code, _text(value.get("display")))


def _epic_reason(value: object) -> Coding | None:
    """Read a reason that Epic's site made up itself, and so names in an extension."""
    if not isinstance(value, dict):
        return None
    category, display, title = (
        _text(value.get(f"{EPIC_REASON}.{part}"))
        for part in ("reasonCategory", "reasonDisplay", "reasonTitle")
    )
    code = category or title or display
    return Coding(EPIC_REASON, code, display or title) if code else None


def _text(value: object) -> str:
    """Return a text or a number as text of bounded length that every ledger can hold."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    text = str(value)[:TEXT_LIMIT]
    return "".join(character if character.isprintable() else " " for character in text).strip()


def _instant(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedHook("'outcomeTimestamp' must be a date and time in UTC.") from None
