"""A language of no country, to see what a page says that no catalogue knows.

It is the sources' own English with an accent on every vowel. A word of a page that still has a
plain vowel came from somewhere else.
"""

import json
import re
from collections.abc import Iterable
from functools import cache
from html.parser import HTMLParser

from babel.support import Translations

from tests.web_app.messages import DOMAINS, Id, extracted

CODE, TAG = "zh_Hans", "zh-Hans"  # whose place it takes: its days have no Latin letters
_ACCENTS = str.maketrans("aeiouAEIOU", "áéíóúÁÉÍÓÚ")
_PLACE = re.compile(r"(%\(\w+\)s|%%|\{\w*\})")
_WORD = re.compile(r"[A-Za-z]+[aeiouAEIOU]|[aeiouAEIOU][A-Za-z]+")  # a letter alone: a key
_SILENT = frozenset({"script", "style", "code", "kbd", "bdi"})  # bdi: what a person is called
_SAID = frozenset({"aria-label", "title", "alt", "placeholder", "data-words"})
_VOID = frozenset({"meta", "link", "input", "img", "br", "hr", "path", "circle", "rect", "line"})


class Pseudo(Translations):
    """The catalogue of this language: every text of the sources, and nothing else."""

    def gettext(self, message: str) -> str:
        return accented(message) if message in _texts() else message

    def ngettext(self, msgid1: str, msgid2: str, n: int) -> str:
        return accented(msgid2) if (msgid1, msgid2) in _texts() else msgid2

    ugettext, ungettext = gettext, ngettext


def accented(text: str) -> str:
    """Return the text in this language; what is filled in stays."""
    parts = _PLACE.split(text)
    return "".join(part if n % 2 else part.translate(_ACCENTS) for n, part in enumerate(parts))


def leftovers(page: str, allowed: Iterable[str]) -> list[str]:
    """Return what the page says without a translation, less the names in `allowed`.

    Whatever is marked as being in a language of its own, and code, is left out.
    """
    reader = _Reader()
    reader.feed(page)
    found = []
    for text in reader.said:
        rest = _PLACE.sub(" ", text)
        for name in sorted(allowed, key=len, reverse=True):
            rest = rest.replace(name, " ")
        if _WORD.search(rest):
            found.append(" ".join(text.split()))
    return found


@cache
def _texts() -> frozenset[Id]:
    return frozenset().union(*(extracted(domain) for domain in DOMAINS))


class _Reader(HTMLParser):
    """Collects what a person sees or hears of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._open: list[tuple[str, bool]] = []  # each open element, and whether it is left out

    @property
    def _is_silent(self) -> bool:
        return bool(self._open) and self._open[-1][1]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        own = dict(attrs).get("lang", TAG) != TAG or tag in _SILENT
        silent = self._is_silent or own
        if not silent:
            for name, value in attrs:
                if name in _SAID and value:
                    self.said += json.loads(value).values() if name == "data-words" else [value]
        if tag not in _VOID:
            self._open.append((tag, silent))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A closed element of an SVG opens nothing."""

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not self._is_silent and data.strip():
            self.said.append(data)
