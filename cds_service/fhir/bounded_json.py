"""JSON from others: parsed within limits, so that a deep or odd document is an error, not a crash.

Source: RFC 8259; threats T18 and T23 (hostile bodies, hostile EHR answers).
"""

import json
from collections.abc import Iterable

MAX_DEPTH = 64  # a FHIR resource with contained ones and extensions stays below 20


def parse(data: bytes, *, max_depth: int = MAX_DEPTH) -> object:
    """Parse UTF-8 JSON; raise ValueError for broken, too deep or non-standard (NaN) documents."""
    try:
        document: object = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    level: list[object] = [document]
    for _ in range(max_depth + 1):
        level = [child for node in level for child in _children(node)]
        if not level:
            return document
    raise ValueError("nested too deeply")


def _children(node: object) -> Iterable[object]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _refuse(_constant: str) -> object:
    raise ValueError("not a JSON number")
