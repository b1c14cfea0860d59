"""Read the routing rules of a model card: which series the model takes, and how many images.

Only the form is checked here; the domain judges the rules.

Source: docs/reference/routing.md.
"""

from __future__ import annotations

import re
from typing import Any

from models.card_entries import Entries
from models.card_patterns import MOST_WAYS, ways_to_match

__all__ = ["CHOICES", "LONGEST_PATTERN", "NUMBERS", "TEXTS", "read_routing"]

TEXTS = (
    "Modality",
    "BodyPartExamined",
    "ViewPosition",
    "Laterality",
    "PatientOrientation",
    "PatientSex",
    "Manufacturer",
    "ManufacturerModelName",
    "StudyDescription",
    "SeriesDescription",
    "ProtocolName",
    "ImageType",
    "PresentationIntentType",
    "SOPClassUID",
    "ConvolutionKernel",
    "ContrastBolusAgent",
)
NUMBERS = (
    "PatientAge",
    "KVP",
    "SliceThickness",
    "Rows",
    "Columns",
    "BitsStored",
    "NumberOfFrames",
    "SeriesNumber",
)
CHOICES = ("every", "best")
LONGEST_PATTERN = 200  # characters
DEEPEST = 8  # rules inside rules


def read_routing(card: Entries) -> dict[str, Any]:
    """Return the card's `routing` as it stands, checked; {} where there is none.

    Raises ValueError that names the entry which is wrong.
    """
    if not card.has("routing"):
        return {}
    routing = card.under("routing")
    _only(routing, {"rule", "series", "prefer", "images"})
    if routing.has("rule"):
        _check_rule(routing.under("rule"))
    choice = routing.one_of("series", CHOICES)
    if routing.has("prefer"):
        if choice != "best":
            raise ValueError("the model card's routing.prefer is for routing.series best")
        for rule in routing.each("prefer"):
            _check_rule(rule)
    if routing.has("images"):
        images = routing.under("images")
        _only(images, {"min", "max"})
        least, most = images.optional("min", int, 1), images.optional("max", int, 1_000_000)
        if not 1 <= least <= most:
            raise ValueError("the model card's routing.images is not 1 <= min <= max")
    return routing.entries


def _check_rule(rule: Entries, depth: int = 1) -> None:
    if depth > DEEPEST:
        raise ValueError(f"the model card's {rule.place} is nested more than {DEEPEST} deep")
    joined = [word for word in ("all", "any") if rule.has(word)]
    if joined:
        _only(rule, set(joined[:1]))
        for part in rule.each(joined[0]):
            _check_rule(part, depth + 1)
    elif rule.has("not"):
        _only(rule, {"not"})
        _check_rule(rule.under("not"), depth + 1)
    else:
        _check_test(rule)


def _check_test(test: Entries) -> None:
    element = test.get("element", str)
    if element in NUMBERS:
        _only(test, {"element", "min", "max"})
        ends = [test.get(end, float) for end in ("min", "max") if test.has(end)]
        if not ends or ends != sorted(ends):
            raise ValueError(f"the model card's {test.place} has no range from min to max")
    elif element not in TEXTS:
        raise ValueError(f"the model card's {test.place}.element is none that a rule may name")
    elif test.has("matches"):
        _only(test, {"element", "matches"})
        _check_pattern(test)
    else:
        _only(test, {"element", "one_of"})
        test.texts("one_of")


def _check_pattern(test: Entries) -> None:
    pattern = test.get("matches", str)
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"the model card's {test.place}.matches is too long")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"the model card's {test.place}.matches is no pattern") from error
    try:
        is_short = ways_to_match(pattern) <= MOST_WAYS
    except ValueError as error:
        raise ValueError(f"the model card's {test.place}.matches has {error}") from error
    if not is_short:
        raise ValueError(
            f"the model card's {test.place}.matches can take too long: it repeats what repeats, or "
            "more than three times anything"
        )


def _only(entries: Entries, allowed: set[str]) -> None:
    """Refuse a misspelt entry: a rule that is not read would let everything pass."""
    unknown = sorted(set(map(str, entries.entries)) - allowed)
    if unknown:
        raise ValueError(f"the model card's {entries.place} has an unknown entry {unknown[0]}")
