"""JSON from others: parsed within limits, so that a deep or odd document is an error, not a crash.

Source: RFC 8259; threats T18 and T23 (hostile bodies, hostile EHR answers).
"""

import json
import re
from collections.abc import Iterable

MAX_DEPTH = 64  # a FHIR resource with contained ones and extensions stays below 20
# Half a surrogate pair is no character (RFC 8259, 8.2), and U+0000 is none of a FHIR string: no
# database takes the one, PostgreSQL refuses the other.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_ESCAPED = re.compile(rb"\\u(0000|[dD][89a-fA-F])")  # the only way that they can come


def parse(data: bytes) -> object:
    """Parse UTF-8 JSON; raise ValueError for what is broken, too deep, NaN, or no text."""
    try:
        document: object = json.loads(data.decode("utf-8-sig"), parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    looks_odd = _ESCAPED.search(data) is not None
    level: list[object] = [document]
    for _ in range(MAX_DEPTH + 1):
        if looks_odd and any(_NO_TEXT.search(text) for node in level for text in _texts(node)):
            raise ValueError("a string is no text")
        level = [child for node in level for child in _children(node)]
        if not level:
            return document
    raise ValueError("nested too deeply")


def _children(node: object) -> Iterable[object]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _texts(node: object) -> Iterable[str]:
    if isinstance(node, dict):
        return node.keys()
    return (node,) if isinstance(node, str) else ()


def _refuse(_constant: str) -> object:
    raise ValueError("not a JSON number")
