"""The language that cards are written in, as a plain value: its words, its days, its numbers.

The use cases know English only; whoever builds the house brings the other languages.

Source: architecture "What a card says"; GNU gettext (plural forms); Unicode CLDR.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

_MONTHS = "JanFebMarAprMayJunJulAugSepOctNovDec"  # of no locale


def _as_it_is(text: str) -> str:
    return text


def _english_plural(one: str, many: str, num: int) -> str:
    return one if num == 1 else many


def _english_day(moment: datetime) -> str:
    month = _MONTHS[3 * moment.month - 3 : 3 * moment.month]
    return f"{moment.day} {month} {moment.year}"


@dataclass(frozen=True, slots=True)
class Words:
    """One language. Whatever it has no translation for is said as it came."""

    translate: Callable[[str], str] = _as_it_is
    plural: Callable[[str, str, int], str] = _english_plural
    day: Callable[[datetime], str] = _english_day  # "2 Jan 2026", in the offset of the time
    decimal_sign: str = "."
    note: str = ""  # what every card in this language says about its translation

    def gettext(self, text: str, **values: object) -> str:
        """Return the text in this language, with its %(names)s filled in where it has any."""
        said = self.translate(text) if text else ""
        return said % values if values else said

    def ngettext(self, one: str, many: str, num: int, **values: object) -> str:
        """Return the form that the language has for this number, which is %(num)s in it."""
        return self.plural(one, many, num) % {"num": num, **values}

    def number(self, text: str) -> str:
        """Return a decimal number as this language writes it: "0.87", "0,87"."""
        return text.replace(".", self.decimal_sign)


ENGLISH = Words()
