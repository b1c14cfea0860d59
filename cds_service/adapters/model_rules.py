"""A model card's `routing` as the rules that the domain judges.

Source: docs/reference/routing.md.
"""

from collections.abc import Mapping
from typing import Any

from cds_service.domain.rule import All, Comparison, Either, Not, Rule
from cds_service.domain.series_rules import SeriesRules


def series_rules_of(routing: Mapping[str, Any]) -> SeriesRules | None:
    """Return the rules in a `routing` that `models/card_rules.py` has checked; {} has none."""
    if not routing:
        return None
    images = routing.get("images", {})
    return SeriesRules(
        rule=_rule(routing["rule"]) if "rule" in routing else None,
        only_best=routing.get("series") == "best",
        prefer=tuple(map(_rule, routing.get("prefer", ()))),
        min_images=images.get("min", 1),
        max_images=images.get("max"),
    )


def _rule(entry: Mapping[str, Any]) -> Rule:
    if "all" in entry:
        return All(tuple(map(_rule, entry["all"])))
    if "any" in entry:
        return Either(tuple(map(_rule, entry["any"])))
    if "not" in entry:
        return Not(_rule(entry["not"]))
    return Comparison(
        element=entry["element"],
        one_of=tuple(entry.get("one_of", ())),
        matches=entry.get("matches", ""),
        least=entry.get("min"),
        most=entry.get("max"),
    )
