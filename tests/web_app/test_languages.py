"""Twelve languages: complete catalogues, one language per request, and drafts that say so."""

import re
from dataclasses import replace
from datetime import date
from string import Formatter

import pytest
from babel.messages.catalog import Message

from cds_service.domain.finding import Reason
from cds_service.domain.review import Reason as ReviewReason
from cds_service.domain.tenant import Tenant
from cds_service.domain.vocabulary import LANGUAGE_TAGS
from smart_app.catalogues import (
    FOLDER,
    LANGUAGES,
    NOT_REVIEWED,
    SHARED,
    SOURCE,
    catalogue,
    language_in,
    page_words,
    review_of,
    spoken_language,
)
from smart_app.grant import grant_from
from smart_app.scopes import LaunchKind
from tests.builders import a_finding, a_result, an_analysis
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import Browser, House, a_radiograph, a_seen_result
from tests.web_app.messages import DOMAINS, ROOT, catalogue_of, extracted

TRANSLATED = tuple(code for code in LANGUAGES if code != SOURCE)
in_every_catalogue = pytest.mark.parametrize(
    ("code", "domain"), [(code, domain) for code in TRANSLATED for domain in DOMAINS]
)
in_every_language = pytest.mark.parametrize("code", TRANSLATED)


@pytest.fixture
def opened(browser: Browser, tenant: Tenant, launch_of: LaunchOf) -> str:
    """The page of patient p-1, opened from the chart."""
    return browser.open(tenant.fhir_base, launch_of())


def messages_of(code: str, domain: str) -> list[Message]:
    return [message for message in catalogue_of(code, domain) if message.id]


def strings_of(message: Message) -> tuple[str, ...]:
    return (message.string,) if isinstance(message.string, str) else tuple(message.string)


def places_in(text: str) -> set[str]:
    """What is filled in: %(names)s, and {names} where the text has them."""
    braces = {f"{{{name}}}" for _, name, _, _ in Formatter().parse(text) if name is not None}
    return set(re.findall(r"%\(\w+\)s|%%", text)) | braces


# --- catalogues -------------------------------------------------------------------------------


@in_every_catalogue
def test_a_missing_or_fuzzy_string_fails_the_build(code: str, domain: str) -> None:
    messages = messages_of(code, domain)

    assert {message.id for message in messages} == extracted(domain)
    assert [m.id for m in messages if m.fuzzy or not all(strings_of(m))] == []


@in_every_catalogue
def test_a_translation_fills_in_what_its_source_does(code: str, domain: str) -> None:
    for message in messages_of(code, domain):
        source = message.id if isinstance(message.id, str) else message.id[1]
        for string in strings_of(message):
            assert places_in(string) == places_in(source), string


@in_every_catalogue
def test_a_plural_has_every_form_of_its_language(code: str, domain: str) -> None:
    forms = catalogue_of(code, domain).num_plurals

    for message in messages_of(code, domain):
        assert len(strings_of(message)) == (forms if message.pluralizable else 1)


@in_every_catalogue
def test_a_catalogue_says_who_reviewed_it_and_when(code: str, domain: str) -> None:
    header = (FOLDER / code / "LC_MESSAGES" / f"{domain}.po").read_text().partition("\n\n")[0]
    by, on = review_of(code, domain)

    assert f'"X-Reviewed-By: {by}\\n"' in header and f'"X-Reviewed-On: {on}\\n"' in header
    assert on == NOT_REVIEWED if by == NOT_REVIEWED else date.fromisoformat(on)


def test_a_site_chooses_among_the_languages_that_there_are() -> None:
    assert tuple(language.tag for language in LANGUAGES.values()) == LANGUAGE_TAGS


def test_what_clinicians_choose_from_is_in_the_catalogues() -> None:
    known = extracted(SHARED)

    assert {reason.display for reason in ReviewReason} <= known
    assert {reason.display.lower() for reason in ReviewReason} <= known


# --- which language ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("de-AT", "de"),
        ("pt_BR", "pt"),
        ("zh-CN", "zh_Hans"),
        ("zh-Hant-TW", None),
        ("nl", None),
        ("../../etc", None),
        (None, None),
    ],
)
def test_a_tag_names_one_of_the_twelve_or_none(tag: str | None, code: str | None) -> None:
    assert language_in(tag) == code


@in_every_language
def test_a_page_is_in_the_language_that_is_asked_for(
    house: House, browser: Browser, opened: str, code: str
) -> None:
    house.keep(a_seen_result(a_radiograph()))

    page = browser.get(f"{opened}?language={code}").text

    tag, direction = LANGUAGES[code].tag, LANGUAGES[code].direction
    assert f'<html lang="{tag}" dir="{direction}">' in page
    assert catalogue(code, SHARED).gettext("pneumonia") in page
    for english in ("Do you agree?", "above the threshold", "Looks for"):
        assert english not in page


@pytest.mark.parametrize(
    "analysis",
    [
        an_analysis(findings=(a_finding(probability=0.6, present=None),)),
        an_analysis(findings=(a_finding(probability=0.1, present=False),)),
        an_analysis(findings=(), reason=Reason("age", "made for children, this patient is 61")),
    ],
    ids=["uncertain", "absent", "refused"],
)
@in_every_language
def test_every_state_of_a_result_is_said_in_every_language(
    house: House, browser: Browser, opened: str, code: str, analysis: object
) -> None:
    house.keep(a_result(analysis=analysis))

    page = browser.get(f"{opened}?language={code}")

    assert page.status_code == 200
    for english in ("as usual", "threshold of", "this patient is 61"):
        assert english not in page.text


@in_every_language
def test_the_pages_without_a_launch_are_in_every_language(
    house: House, browser: Browser, code: str
) -> None:
    for address, status in (("/app/", 200), ("/app/nothing", 404)):
        page = browser.get(f"{address}?language={code}")

        assert page.status_code == status
        assert f'<html lang="{LANGUAGES[code].tag}"' in page.text
        assert "administrator" not in page.text and "Open Sightline" not in page.text


def test_the_chosen_language_stays_until_another_is_chosen(
    house: House, browser: Browser, opened: str
) -> None:
    browser.get(f"{opened}?language=fr")

    assert '<html lang="fr"' in browser.get(opened).text
    browser.get(f"{opened}?language=en")
    assert '<html lang="en"' in browser.get(opened, **{"Accept-Language": "fr"}).text


def test_a_choice_counts_for_who_made_it_and_not_for_the_next_at_this_workstation(
    browser: Browser, tenant: Tenant, launch_of: LaunchOf, opened: str
) -> None:
    browser.get(f"{opened}?language=fr")

    mine = browser.get(browser.open(tenant.fhir_base, launch_of()))
    other = browser.get(browser.open(tenant.fhir_base, launch_of(user="Practitioner/other")))

    assert '<html lang="fr"' in mine.text and '<html lang="en"' in other.text


def test_a_choice_on_our_own_page_is_not_the_next_user_s(
    browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    browser.get("/app/?language=fr")
    assert '<html lang="fr"' in browser.get("/app/").text

    page = browser.get(browser.open(tenant.fhir_base, launch_of()))

    assert '<html lang="en"' in page.text


def test_a_browser_counts_where_nobody_else_names_a_language(browser: Browser) -> None:
    answer = browser.get("/app/", **{"Accept-Language": "nl, ko;q=0.8, en;q=0.5"})

    assert '<html lang="ko"' in answer.text
    assert answer.headers["Content-Language"] == "ko"


def test_the_site_counts_before_the_browser(
    house: House, browser: Browser, tenant: Tenant, opened: str
) -> None:
    house.tenants.remove(tenant.id)
    house.tenants.add(replace(tenant, language="pl"))

    assert '<html lang="pl"' in browser.get(opened, **{"Accept-Language": "fr"}).text


@pytest.mark.parametrize(
    ("locale", "kept"), [("de-CH", "de-CH"), (None, None), (7, None), ("x" * 36, None)]
)
def test_a_launch_may_say_the_language_of_its_user(locale: object, kept: str | None) -> None:
    document = {
        "access_token": "t",
        "token_type": "Bearer",
        "id_token": "i",
        "patient": "p-1",
        "locale": locale,
    }

    assert grant_from(document, kind=LaunchKind.EHR, requested_scope="").locale == kept


# --- what nobody reviewed ---------------------------------------------------------------------


def test_a_draft_is_not_spoken_where_the_site_does_not_want_it() -> None:
    assert spoken_language("de", shows_drafts=False) == SOURCE
    assert spoken_language("de", shows_drafts=True) == "de"
    assert spoken_language("nl", shows_drafts=True) == SOURCE


def test_a_report_sentence_stays_english_until_the_site_enables_drafts(
    house: House, browser: Browser, opened: str
) -> None:
    house.keep(a_seen_result(a_radiograph()))

    page = browser.get(f"{opened}?language=de").text

    assert "AI assistance (Sightline" in page and "KI-Unterstützung" not in page
    assert "Maschinell erstellte Übersetzung, nicht geprüft." in page


@pytest.mark.parametrize(("drafts", "tag"), [(False, "en"), (True, "ar")])
def test_a_report_sentence_says_in_which_language_it_is(
    house: House, browser: Browser, tenant: Tenant, opened: str, drafts: bool, tag: str
) -> None:
    house.keep(a_seen_result(a_radiograph()))
    house.tenants.remove(tenant.id)
    house.tenants.add(replace(tenant, shows_drafts=drafts))

    page = browser.get(f"{opened}?language=ar").text

    direction = LANGUAGES[tag].direction
    assert re.search(rf'<textarea [^>]*lang="{tag}" dir="{direction}" data-report>', page)


def test_a_report_sentence_in_a_draft_says_that_it_is_one(
    house: House, browser: Browser, tenant: Tenant, opened: str
) -> None:
    house.keep(a_seen_result(a_radiograph()))
    house.tenants.remove(tenant.id)
    house.tenants.add(replace(tenant, shows_drafts=True))

    page = browser.get(f"{opened}?language=de").text

    assert "KI-Unterstützung (Sightline" in page
    assert "nicht ärztlich beurteilt. Reference model." in page
    assert "device. [Maschinell erstellte Übersetzung, nicht geprüft.]" in page


def test_the_glossary_says_what_the_catalogues_say() -> None:
    page = (ROOT / "docs/reference/glossary.md").read_text(encoding="utf-8")
    terms = page.split("\n## ")[1:]

    assert len(terms) >= 20
    for term, *rows in (section.splitlines() for section in terms):
        said = [row for row in rows if row.startswith("| ") and "Term" not in row][1:]
        assert said == [
            f"| {LANGUAGES[code].tag} | {page_words(code).gettext(term)} |" for code in TRANSLATED
        ]
