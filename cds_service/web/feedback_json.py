"""CDS Hooks feedback: JSON to reports, naming the field that is wrong.

Source: CDS Hooks 2.0 "Feedback"; Epic writes `overrideReasons` and extensions (its CDS Hooks
tutorial, 2024).
"""

from datetime import UTC, datetime

from cds_service.domain.card import Feedback, Outcome
from cds_service.domain.finding import Coding
from cds_service.errors import MalformedHook
from cds_service.web.hook_json import TEXT_LIMIT, require_object, require_text

MAX_REPORTS = 100  # of one feedback request


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
    reason = report.get("overrideReason", report.get("overrideReasons"))
    if isinstance(reason, list):
        reason = reason[0] if reason else None
    stated = reason if isinstance(reason, dict) else {}
    suggestions = report.get("acceptedSuggestions")
    return Feedback(
        tenant_id=tenant_id,
        card_uuid=require_text(report.get("card"), "'card'"),
        outcome=outcome,
        outcome_at=_instant(report.get("outcomeTimestamp")),
        reason=_coding(stated.get("reason")),
        has_comment=bool(stated.get("userComment")),
        suggestion_ids=tuple(
            one["id"][:TEXT_LIMIT]
            for one in (suggestions if isinstance(suggestions, list) else [])
            if isinstance(one, dict) and isinstance(one.get("id"), str)
        ),
    )


def _coding(value: object) -> Coding | None:
    """Read a reason; the CDS Hooks sandbox sends no display, and no system if we gave none."""
    if not isinstance(value, dict) or not isinstance(value.get("code"), str):
        return None
    texts = (value.get(name) for name in ("system", "code", "display"))
    system, code, display = (one[:TEXT_LIMIT] if isinstance(one, str) else "" for one in texts)
    return Coding(system, code, display)


def _instant(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise MalformedHook("'outcomeTimestamp' must be a date and time in UTC.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
