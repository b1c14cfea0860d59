"""The twelve languages, and their catalogues as gettext translations.

A catalogue is read from its .po file when it is first needed: there is nothing to build, and
nothing that could be older than what people edit.

Source: GNU gettext (PO files, plural forms); Unicode CLDR; BCP 47.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

from babel import Locale, UnknownLocaleError
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.support import Translations

from cds_service.domain.vocabulary import marked

FOLDER = Path(__file__).with_name("locales")
SOURCE = "en"  # the language of the code
PAGES, SHARED = "app", "cards"  # `SHARED` holds what cards, pages and report sentences all say
NOT_REVIEWED = "not reviewed"
DRAFT_NOTE = marked("Machine-drafted translation, not reviewed.")


@dataclass(frozen=True, slots=True)
class Language:
    """One language as a person chooses it."""

    code: str  # "zh_Hans", the name of its folder
    name: str  # in the language itself

    @property
    def tag(self) -> str:
        """Return its BCP 47 tag: "zh-Hans"."""
        return self.code.replace("_", "-")

    @property
    def direction(self) -> str:
        """Return "ltr" or "rtl"."""
        return "rtl" if self.code == "ar" else "ltr"

    @property
    def reviewed_by(self) -> str | None:
        """Return who reviewed all of it, as its catalogues say; None when nobody did."""
        if self.code == SOURCE:
            return "the authors"
        said = [review_of(self.code, domain)[0] for domain in (PAGES, SHARED)]
        return None if NOT_REVIEWED in said else ", ".join(dict.fromkeys(said))


LANGUAGES: Mapping[str, Language] = MappingProxyType(
    {
        code: Language(code, name)
        for code, name in (
            (SOURCE, "English"),
            ("es", "Español"),
            ("fr", "Français"),
            ("de", "Deutsch"),
            ("pt", "Português"),
            ("it", "Italiano"),
            ("pl", "Polski"),
            ("ko", "한국어"),
            ("ja", "日本語"),
            ("zh_Hans", "简体中文"),
            ("ar", "العربية"),
            ("hi", "हिन्दी"),
        )
    }
)


def language_in(tag: object) -> str | None:
    """Return the code of the language that a BCP 47 tag names; None for one that we do not have.

    Any Chinese but the traditional one counts as simplified.
    """
    if not isinstance(tag, str) or not 0 < len(tag) <= 35:
        return None
    try:
        locale = Locale.parse(tag.strip().replace("_", "-"), sep="-")
    except (ValueError, UnknownLocaleError):
        return None
    if locale.language == "zh":
        return None if locale.script == "Hant" else "zh_Hans"
    return locale.language if locale.language in LANGUAGES else None


def spoken_language(wish: str | None, *, shows_drafts: bool) -> str:
    """Return the language of a card or a report sentence: the wish when it may be, else English.

    shows_drafts   whether the site wants translations that nobody reviewed
    """
    code = language_in(wish) or SOURCE
    return code if shows_drafts or LANGUAGES[code].reviewed_by else SOURCE


@cache
def catalogue(language: str, domain: str) -> NullTranslations:
    """Return one catalogue; that of the source language changes nothing."""
    if language == SOURCE:
        return NullTranslations()
    return GNUTranslations(_compiled(language, domain))


@cache
def page_words(language: str) -> Translations:
    """Return what the pages say: their own catalogue, and behind it the shared one."""
    if language == SOURCE:
        return Translations()
    words = Translations(_compiled(language, PAGES), PAGES)
    words.add_fallback(Translations(_compiled(language, SHARED), SHARED))
    return words


@cache
def review_of(language: str, domain: str) -> tuple[str, str]:
    """Return who reviewed a catalogue and when, as its header states it; else `NOT_REVIEWED`."""
    header = _path(language, domain).read_text(encoding="utf-8").partition("\n\n")[0]
    by, on = (re.search(rf'"X-Reviewed-{what}: (.+)\\n"', header) for what in ("By", "On"))
    return (by[1], on[1]) if by and on else (NOT_REVIEWED, NOT_REVIEWED)


def _path(language: str, domain: str) -> Path:
    return FOLDER / language / "LC_MESSAGES" / f"{domain}.po"


def _compiled(language: str, domain: str) -> BytesIO:
    """Return the .mo form of a catalogue, without its fuzzy entries."""
    compiled = BytesIO()
    with _path(language, domain).open("rb") as lines:
        write_mo(compiled, read_po(lines, locale=language, domain=domain))
    compiled.seek(0)
    return compiled
