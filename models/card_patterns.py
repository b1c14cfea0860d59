"""How long a pattern of a routing rule may take: a regular expression may try for ever.

`re` tries one way of matching after the other and cannot be stopped, so the ways are counted
before a pattern is used: what follows multiplies, alternatives add, what is repeated is a power.

Source: docs/reference/routing.md; Python `re` ("Regular Expression Syntax").
"""

from __future__ import annotations

import re

__all__ = ["LONGEST_TEXT", "MOST_WAYS", "ways_to_match"]

LONGEST_TEXT = 64  # characters that a pattern looks at
MOST_WAYS = (LONGEST_TEXT + 1) ** 3  # three `.*`: at most a third of a second

_REPEAT = re.compile(r"(?:(?P<mark>[*+?])|\{(?P<least>\d*)(?P<comma>,?)(?P<most>\d*)\})[?+]?")
_GROUP = re.compile(r"\((?:\?(?:P<\w+>|<[=!]|[=!:>]|(?P<flags>[a-zA-Z]*(?:-[a-zA-Z]+)?):))?")
_NO_GROUP = re.compile(r"\(\?(?:#[^)]*|P=\w+|(?P<flags>[a-zA-Z]+))\)")
_CLASS = re.compile(r"\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_MARKS = {"*": (0, LONGEST_TEXT), "+": (1, LONGEST_TEXT), "?": (0, 1)}


def ways_to_match(pattern: str) -> int:
    """Return in how many ways a pattern that compiles may be tried, at most MOST_WAYS + 1.

    Raises ValueError for what is not counted: verbose patterns and conditions on groups.
    """
    ways, _ = _alternatives(pattern, 0)
    return ways


def _alternatives(pattern: str, at: int) -> tuple[int, int]:
    """Return the ways up to the end of this group, and where it ends."""
    total, ways = 0, 1
    while at < len(pattern) and pattern[at] != ")":
        if pattern[at] == "|":
            total, ways, at = total + ways, 1, at + 1
            continue
        one, at = _item(pattern, at)
        least, most, at = _repeat(pattern, at)
        ways = min(ways * one**most * (most - least + 1), MOST_WAYS + 1)
    return min(total + ways, MOST_WAYS + 1), at


def _item(pattern: str, at: int) -> tuple[int, int]:
    """Return the ways of one character, class or group, and where it ends."""
    if pattern[at] == "\\":
        return 1, at + 2
    if pattern[at] == "[" and (found := _CLASS.match(pattern, at)):
        return 1, found.end()
    if pattern[at] != "(":
        return 1, at + 1
    if found := _NO_GROUP.match(pattern, at):
        _require_plain(found["flags"])
        return 1, found.end()
    if pattern.startswith("(?(", at) or not (found := _GROUP.match(pattern, at)):
        raise ValueError("a condition on a group")
    _require_plain(found["flags"])
    ways, end = _alternatives(pattern, found.end())
    return ways, end + 1


def _repeat(pattern: str, at: int) -> tuple[int, int, int]:
    """Return how often at least and at most what was read is repeated, and where that ends."""
    found = _REPEAT.match(pattern, at)
    if found is None or not (found["mark"] or found["least"] or found["comma"]):
        return 1, 1, at
    if found["mark"]:
        return *_MARKS[found["mark"]], found.end()
    least = int(found["least"] or 0)
    most = int(found["most"] or LONGEST_TEXT) if found["comma"] else least
    return min(least, LONGEST_TEXT), min(most, LONGEST_TEXT), found.end()


def _require_plain(flags: str | None) -> None:
    if "x" in (flags or ""):
        raise ValueError("a verbose pattern")
