"""The YAML of a card from a stranger: refused with a sentence, never a hang or a traceback."""

import pytest

from models.card_yaml import MAX_CHARACTERS, parse_card
from models.contract import ModelCard
from models.transparency import Transparency
from tests.unit.models.builders import a_card

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{depth}: &a{depth} [{', '.join([f'*a{depth - 1}'] * 10)}]\n" for depth in range(1, 12)
)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (BOMB, "more than 20000 entries"),
        ("itself: &itself [*itself]\n", "more than 20000 entries"),
        ("itself: &itself {again: *itself}\n", "more than 20000 entries"),
        (f"{BOMB}? *a11\n: as a name\n", "more than 20000 entries"),
        ("deep: " + "[" * 3000 + "]" * 3000, "is not YAML"),
        ("version: 9.9.9\n", "the entry version twice"),
        ("note: {low: 1, low: 2}\n", "the entry low twice"),
        ('note: "\\e[2J"\n', "control character in line"),
        ('"\\0": name\n', "control character in line"),
        ("long: " + "x" * MAX_CHARACTERS, "longer than 256 KiB"),
        *((f"note: {value}\n", "not of its kind") for value in ("!!int ''", "2026-99-99")),
        *((f"note: {value}\n", "not of its kind") for value in ("!!bool x", "!!timestamp x")),
        ("note: !!python/object/apply:os.getpid []\n", "not of its kind"),
        ("note: " + "9" * 5000, "not of its kind"),
    ],
)
def test_a_card_that_no_person_writes_is_refused(more: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ModelCard.from_yaml(a_card() + more)


def test_one_alias_is_no_bomb() -> None:
    entries = parse_card("point: &point {threshold: 0.5}\nother: *point\n")

    assert entries["other"] == {"threshold": 0.5}


def test_words_of_any_language_can_be_shown() -> None:
    assert parse_card("limit: '«enfants\u00a0: 1\u202f\u2013\u202f5 ans»'\nfarsi: می\u200cشود\n")


def test_the_text_beside_a_card_is_read_as_carefully() -> None:
    with pytest.raises(ValueError, match=r"transparency\.yaml has more than"):
        Transparency.from_yaml(BOMB)
