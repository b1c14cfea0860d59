"""The languages of cards: the shared catalogues, and days and numbers as Unicode CLDR has them.

Source: Unicode CLDR (`yMMMd`); GNU gettext; architecture "What a card says".
"""

from datetime import datetime
from functools import cache

from babel import Locale
from babel.dates import format_skeleton
from babel.numbers import get_decimal_symbol

from cds_service.domain.tenant import Tenant
from cds_service.usecases.card_language import ENGLISH, Words
from smart_app.catalogues import (
    DRAFT_NOTE,
    LANGUAGES,
    SHARED,
    SOURCE,
    catalogue,
    spoken_language,
)


def card_words(tenant: Tenant) -> Words:
    """Return the site's language; English where it names none that may be spoken."""
    return _words(spoken_language(tenant.language, shows_drafts=tenant.shows_drafts))


def warm_up() -> None:
    """Read every catalogue, so that no hook waits for one."""
    for code, language in LANGUAGES.items():
        _words(code).day(datetime(2026, 1, 2))
        language.reviewed_by  # noqa: B018  # it is kept once it was read


@cache
def _words(code: str) -> Words:
    if code == SOURCE:
        return ENGLISH
    locale, words = Locale.parse(code), catalogue(code, SHARED)

    def day(moment: datetime) -> str:
        return str(format_skeleton("yMMMd", moment.date(), locale=locale))

    return Words(
        translate=words.gettext,
        plural=words.ngettext,
        day=day,
        decimal_sign=get_decimal_symbol(locale),
        note="" if LANGUAGES[code].reviewed_by else words.gettext(DRAFT_NOTE),
    )
