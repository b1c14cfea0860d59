"""Rules about what a client reports: which card, what became of it, when.

Source: CDS Hooks 2.0 "Feedback"; RFC 3339 for the time.
"""

import re
from datetime import datetime, timedelta

from cds_service.lint.fields import Element
from cds_service.lint.rule import Problems, Rule
from cds_service.lint.tree import Node

OUTCOMES = ("accepted", "overridden")
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")


def _outcome_unknown(feedback: Node) -> Problems:
    value = feedback.text("outcome")
    if value and value not in OUTCOMES:
        yield ("outcome",), f"{value[:40]!r} is no outcome."


def _time_not_utc(feedback: Node) -> Problems:
    value = feedback.text("outcomeTimestamp")
    if not value:
        return
    try:
        moment = datetime.fromisoformat(value) if _INSTANT.fullmatch(value) else None
    except ValueError:
        moment = None
    if moment is None:
        yield ("outcomeTimestamp",), "The time is not written as RFC 3339 asks."
    elif moment.utcoffset() != timedelta(0):
        yield ("outcomeTimestamp",), "The time is not in UTC."


def _acceptance_of_nothing(feedback: Node) -> Problems:
    if feedback.text("outcome") == "accepted" and "acceptedSuggestions" not in feedback.value:
        yield (), "The card was accepted, and no accepted suggestion is named."


_FEEDBACK = (Element.FEEDBACK,)

FEEDBACK_RULES = (
    Rule("ch2:156", _FEEDBACK, _outcome_unknown, "Use accepted or overridden."),
    Rule(
        "ch2:158",
        _FEEDBACK,
        _acceptance_of_nothing,
        "Add 'acceptedSuggestions' with the suggestion's uuid as 'id'.",
    ),
    Rule("ch2:161", _FEEDBACK, _time_not_utc, "Write it as 2026-01-05T09:00:00Z."),
)
