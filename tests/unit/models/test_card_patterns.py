"""Patterns of routing rules: those that may take for ever are refused with the card."""

import re

import pytest
import yaml

from models.card_patterns import MOST_WAYS, ways_to_match
from models.contract import ModelCard
from tests.unit.models.networks import a_foreign_card, halves

HOSTILE = [
    "(a+)+$",
    "(a*)*b",
    "(?:a|ab)*c",
    "(a|a)+$",
    "(.*a){20}b",
    "(?P<x>a+){2,}$",
    "a?" * 40 + "a" * 40,
    ".*a.*a.*a.*a.*b",
    r"(\w+\s?)*$",
    "((a{1,9}){1,9}){1,9}b",
    "(?i:(a+)+)$",
    "[]a]*[^]]*[a-z]+[\\]a]*b",
]
PLAIN = [
    "(?i)chest|thorax",
    r"\bAP\b.*portable",
    r"^(?!.*\blat).*chest.*$",
    "(?:AP|PA){1,2}",
    "x{3}",
    "{}",
    "a{,2}",
    "(?#a+)",
    r"(?P<w>a)(?P=w)",
    r"\(a+\)",
    "[(+*]{1,3}",
    "a++",
]


def refusal_of(pattern: str) -> str:
    rule = {"element": "SeriesDescription", "matches": pattern}
    card = yaml.safe_dump(a_foreign_card(halves(), routing={"rule": rule}))
    try:
        ModelCard.from_yaml(card)
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("pattern", HOSTILE)
def test_a_pattern_that_may_take_for_ever_is_refused_with_the_card(pattern: str) -> None:
    re.compile(pattern)

    assert "routing.rule.matches can take too long" in refusal_of(pattern)


@pytest.mark.parametrize("pattern", PLAIN)
def test_a_plain_pattern_is_taken(pattern: str) -> None:
    re.compile(pattern)

    assert refusal_of(pattern) == ""


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("(?x)a # (", "a verbose pattern"),
        ("(?x:a)", "a verbose pattern"),
        ("(a)?(?(1)b|c)", "a condition on a group"),
        ("a{99999999999}", "is no pattern"),
    ],
)
def test_what_cannot_be_counted_is_refused_with_the_card(pattern: str, why: str) -> None:
    assert why in refusal_of(pattern)


def test_the_longest_that_is_taken_ends() -> None:
    pattern = ".*.*.*x"

    assert ways_to_match(pattern) == MOST_WAYS and refusal_of(pattern) == ""
    assert re.search(pattern, "a" * 64) is None
