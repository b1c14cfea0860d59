"""The language of a page: chosen once per request, and said with its numbers and days.

First what the reader chose here, then the launch, the reader's profile, the site, the browser.

Source: Unicode CLDR; RFC 9110 12.5.4 (Accept-Language); OpenID Connect Core 1.0 5.1 (`locale`).
"""

import re
from datetime import date, datetime
from typing import Any

from babel import Locale
from babel.dates import format_date
from babel.lists import format_list
from babel.numbers import format_decimal, format_percent, get_decimal_symbol
from babel.support import NullTranslations
from flask import Flask, Response, g, has_request_context, request
from flask_babel import Babel, Domain, get_locale
from flask_babel import gettext as _gettext
from flask_babel import ngettext as _ngettext
from werkzeug.utils import cached_property

from cds_service.domain.tenant import Tenant
from smart_app.catalogues import (
    DRAFT_NOTE,
    LANGUAGES,
    SHARED,
    SOURCE,
    Language,
    catalogue,
    language_in,
    page_words,
    spoken_language,
)

_POINT = re.compile(r"(?<=\d)\.(?=\d)")
COOKIE = "__Host-sightline-language"  # ends with the browser's session


class _Catalogues(Domain):  # type: ignore[misc]  # Flask-Babel has no types
    """Takes translations from our catalogues, which need no compiled files."""

    def get_translations(self) -> NullTranslations:
        locale = get_locale()
        return page_words(str(locale)) if locale else NullTranslations()


class _Babel(Babel):  # type: ignore[misc]
    @cached_property
    def domain_instance(self) -> Domain:
        """The one domain of the pages."""
        return _Catalogues()


def _(text: str, **values: object) -> str:
    """Return the text in the language of this request, with its %(names)s filled in."""
    return str(_gettext(text, **values))


def ngettext(one: str, many: str, num: int, **values: object) -> str:
    """Return the form that the language has for this number, which is %(num)s in it."""
    return str(_ngettext(one, many, num, **values))


def speak(app: Flask) -> None:
    """Let this application's pages speak the reader's language."""
    _Babel(app, locale_selector=chosen)
    app.jinja_env.globals.update(
        language=language,
        worded=_,
        languages=tuple(LANGUAGES.values()),
        draft_note=draft_note,
        number_text=number_text,
        percent_text=percent_text,
        script_words=script_words,
    )


def chosen() -> str:
    """Return the code of the language of this request."""
    wishes = (
        request.args.get("language"),
        _kept_choice(),
        *g.get("launch_languages", ()),
        g.get("site_language"),
        *(tag for tag, _weight in request.accept_languages),
    )
    return next((code for wish in wishes if (code := language_in(wish))), SOURCE)


def _kept_choice() -> str | None:
    """Return what was chosen before, where the one who reads now chose it.

    A workstation is shared: who signs in does not get the language of who was there before.
    """
    wish, _mark, reader = request.cookies.get(COOKIE, "").partition(".")
    return wish if reader == g.get("reader", reader) else None


def language() -> Language:
    """Return the language of this request; outside of one, that of the code."""
    return LANGUAGES[str(get_locale())] if has_request_context() else LANGUAGES[SOURCE]


def keep(response: Response) -> Response:
    """Keep the language that the reader chose for as long as the browser is open."""
    wish = language_in(request.args.get("language"))
    if wish is not None:
        value = ".".join(filter(None, (wish, g.get("reader"))))
        response.set_cookie(
            COOKIE, value, path="/", secure=True, httponly=True, samesite="None", partitioned=True
        )
    if request.endpoint not in ("app.static", "app.jwks"):
        response.headers["Content-Language"] = language().tag
    return response


def draft_note() -> str:
    """Say in the page's language that nobody reviewed it; "" when somebody did."""
    return "" if language().reviewed_by else _(DRAFT_NOTE)


def day_text(day: date) -> str:
    """Return a day as the reader writes it: "2 Jan 2026", "02.01.2026"."""
    code = language().code
    style = "d MMM y" if code == SOURCE else "medium"
    return str(format_date(day, style, locale=Locale.parse(code)))


def time_text(moment: datetime) -> str:
    """Return hours and minutes: "10:05"; clinical time has 24 hours in every language."""
    return f"{moment:%H:%M}"


def number_text(text: str) -> str:
    """Return a text with its decimal numbers as the reader writes them: "0.87", "0,87"."""
    return _POINT.sub(get_decimal_symbol(_locale()), text)


def count_text(count: int) -> str:
    """Return a whole number as the reader writes it: "5,856", "5.856"."""
    return str(format_decimal(count, locale=_locale()))


def percent_text(share: float) -> str:
    """Return a share, 0..1, in whole percent as the reader writes it: "95%", "95 %"."""
    return str(format_percent(share, locale=_locale()))


def listed(words: list[str]) -> str:
    """Join words as a sentence does: "a, b and c"."""
    return str(format_list(words, locale=_locale()))


def _locale() -> Locale:
    """Return whose customs numbers and lists follow: no comma before "and" in our English."""
    code = language().code
    return Locale.parse("en_GB" if code == SOURCE else code)


def script_words() -> dict[str, str]:
    """Return what the page's scripts say."""
    return {
        "noImage": _("The image cannot be shown. Look at the study in your usual image viewer."),
        "notReached": _("Sightline could not be reached. Your answer was not saved; try again."),
        "notSaved": _("Your answer was not saved."),
        "copied": _("Copied."),
        "copyYourself": _("Select the sentence and copy it with your keyboard."),
        "box": _("Box on the image. Arrow keys move it, Shift and an arrow changes its size."),
        "boxUnmarked": _(
            "Mark the place first: draw a box on the image, move this one, or type its four "
            "numbers."
        ),
        "boxTooSmall": _("The box is too small to mark a place."),
        "boxOutside": _("The box must lie in the image of {columns} x {rows} pixels."),
    }


def report_language(tenant: Tenant) -> Language:
    """Return the language of report sentences: the reader's, where it may be that one.

    A translation that nobody reviewed is used only where the site wants it.
    """
    return LANGUAGES[spoken_language(language().code, shows_drafts=tenant.shows_drafts)]


def report_words(tenant: Tenant) -> dict[str, Any]:
    """Return what `report_sentence` needs of its language; an unreviewed one says that it is."""
    said_in = report_language(tenant)
    words = catalogue(said_in.code, SHARED)
    note = "" if said_in.reviewed_by else words.gettext(DRAFT_NOTE)
    return {
        "translate": words.gettext,
        "decimal_sign": get_decimal_symbol(Locale.parse(said_in.code)),
        "note": note,
    }
