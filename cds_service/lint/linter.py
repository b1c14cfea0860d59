"""Checks one document: every object by the table of fields, then by the rules that bind it.

Source: CDS Hooks 2.0; the rules are in the modules named after what they judge.
"""

import json
from collections.abc import Iterable, Iterator, Mapping

from cds_service.lint.actions import ACTION_RULES
from cds_service.lint.cards import CARD_RULES
from cds_service.lint.dialects import DIALECT_RULES
from cds_service.lint.feedback import FEEDBACK_RULES
from cds_service.lint.fields import ROOTS, Element
from cds_service.lint.services import SERVICE_RULES, tokens_outside_the_rules
from cds_service.lint.shape import empty_values, misshapen
from cds_service.lint.target import Breach, Kind, Level, Target
from cds_service.lint.tree import nodes

ALL_RULES = (*SERVICE_RULES, *CARD_RULES, *ACTION_RULES, *FEEDBACK_RULES, *DIALECT_RULES)
DEPTH_LIMIT = 200  # of nesting; Python's own recursion ends at about 1000
_KEYS = {
    "services": Kind.DISCOVERY,
    "cards": Kind.RESPONSE,
    "systemActions": Kind.RESPONSE,
    "feedback": Kind.FEEDBACK,
}
_NO_OBJECT = {Kind.DISCOVERY: "ch2:6", Kind.RESPONSE: "ch2:74", Kind.FEEDBACK: "ch2:154"}


def guess_kind(document: object) -> Kind | None:
    """Tell what a document is by the array that it must have, or None."""
    named = document if isinstance(document, Mapping) else {}
    return next((kind for key, kind in _KEYS.items() if key in named), None)


def lint(document: object, target: Target) -> list[Breach]:
    """Return every breach and advice, outer objects first; an empty list is a clean document."""
    if not isinstance(document, Mapping):
        problem = f"A {ROOTS[target.kind]} is a JSON object, and this is none."
        fix = "Put the array into an object."
        return [Breach(_NO_OBJECT[target.kind], Level.BREACH, "", problem, fix)]
    return [*empty_values(document), *_of_objects(document, target)]


def parse(text: bytes) -> tuple[object, list[Breach]]:
    """Return the document, or None and the breach of ch2:1 that it is no JSON."""
    try:
        # json.loads takes UTF-16 and UTF-32 too, and half a surrogate pair, which is no text.
        document = json.loads(text.decode("utf-8-sig"), parse_constant=_refuse)
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        place = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        return None, [_not_json(f"The document is no JSON{place}.")]
    if _depth_exceeds(document, DEPTH_LIMIT):
        return None, [_not_json(f"The document is nested deeper than {DEPTH_LIMIT}.")]
    return document, []


def _of_objects(document: Mapping[str, object], target: Target) -> Iterator[Breach]:
    for node in nodes(document, target.kind):
        yield from misshapen(node, target)
        if node.element is Element.SERVICE:
            yield from tokens_outside_the_rules(node, target)
        for rule in ALL_RULES:
            if rule.applies(node, target):
                yield from rule.breaches(node)


def _not_json(problem: str) -> Breach:
    fix = "Send JSON in UTF-8 that every reader takes: no comments, no trailing commas."
    return Breach("ch2:1", Level.BREACH, "", problem, fix)


def _refuse(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _depth_exceeds(document: object, limit: int) -> bool:
    layer = [document]
    for _ in range(limit):
        layer = [member for value in layer for member in _members(value)]
        if not layer:
            return False
    return True


def _members(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()
