"""Every text that is translated, extracted from the sources as `pybabel extract` does.

A call of `marked`, or of an error that people read, marks a text as `_` does.
"""

from collections.abc import Iterable
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_file
from babel.messages.pofile import read_po

from smart_app.catalogues import FOLDER, PAGES, SHARED

ROOT = Path(__file__).parents[2]
SHOWN_ERRORS = (
    "DoorbellSilent",
    "EhrBusy",
    "EhrTimedOut",
    "ImageBusy",
    "ImageChanged",
    "LaunchRefused",
    "NotFound",
    "ReviewRefused",
    "ScopeDenied",
    "SessionEnded",
    "UpstreamFailed",
)
KEYWORDS = {**DEFAULT_KEYWORDS, "marked": None, **dict.fromkeys(SHOWN_ERRORS)}
SHARED_SOURCES = (
    ROOT / "cds_service/domain/vocabulary.py",
    ROOT / "cds_service/domain/refusals.py",
    *(
        ROOT / "cds_service/usecases" / name
        for name in (
            "card_scores.py",
            "card_words.py",
            "compose_card.py",
            "limit_alerts.py",
            "suggest_actions.py",
        )
    ),
    ROOT / "smart_app/report_sentence.py",
    ROOT / "smart_app/catalogues.py",
)
# What a page says, and who it is that knows it.
PAGE_SOURCES = (
    ROOT / "cds_service/domain/model_sheet.py",
    ROOT / "cds_service/adapters/model_sheets.py",
    *(
        ROOT / "cds_service/usecases" / name
        for name in (
            "publish_findings.py",
            "publish_reviews.py",
            "retry_job.py",
            "review_finding.py",
        )
    ),
)
Id = str | tuple[str, str]


def extracted(domain: str) -> set[Id]:
    """Return the texts of a catalogue as the sources have them; two stand for one plural."""
    shared = set(_texts(SHARED_SOURCES))
    if domain == SHARED:
        return shared
    pages = sorted((ROOT / "smart_app").glob("*.py"))
    pages += sorted((ROOT / "smart_app/templates").rglob("*.html"))
    pages += PAGE_SOURCES
    return set(_texts(path for path in pages if path not in SHARED_SOURCES)) - shared


def catalogue_of(language: str, domain: str) -> Catalog:
    """Return a catalogue as it is written, its fuzzy entries too."""
    with (FOLDER / language / "LC_MESSAGES" / f"{domain}.po").open("rb") as lines:
        return read_po(lines, locale=language, domain=domain)


def _texts(paths: Iterable[Path]) -> Iterable[Id]:
    for path in paths:
        method = "python" if path.suffix == ".py" else "jinja2.ext:babel_extract"
        for _line, text, _comments, _context in extract_from_file(method, path, keywords=KEYWORDS):
            yield text if isinstance(text, str) else (text[0], text[1])


DOMAINS = (PAGES, SHARED)
