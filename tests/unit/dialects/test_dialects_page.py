"""The page about dialects has the table of the code, cell by cell."""

import re
from dataclasses import fields
from pathlib import Path

from cds_service.domain.dialect import DIALECTS, Dialect

PAGE = Path(__file__).resolve().parents[3] / "docs/reference/dialects.md"
ROWS = {
    "hooks in discovery": "hooks",
    "`version`, `hookVersion` in discovery": "spec_version",
    "`uuid` of cards and suggestions": "has_uuids",
    "`overrideReasons`": "has_override_reasons",
    "`isRecommended`": "has_recommendations",
    "`source.topic`": "topic",
    "`selectionBehavior`": "behaviors",
    "exactly one action in a suggestion": "has_single_actions",
    "actions": "actions",
    "`resourceId` of a delete": "deletes_by_resource_id",
    "`appContext` of links": "has_app_context",
    "content type of the detail, in an extension": "detail_content_type",
    "paragraphs left out of the detail": "paragraphs_left_out",
}
NOTHING = {"hooks": "all", "actions": "all"}  # what None means; else "no"


def cell(field: str, value: object) -> str:
    """What the page says about one field of one dialect."""
    if value is None:
        return NOTHING.get(field, "no")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, frozenset):
        return (
            "none"
            if not value
            else ", ".join(
                sorted(" ".join(one) if isinstance(one, tuple) else str(one) for one in value)
            )
        )
    return str(value)


def table_of_the_page() -> list[list[str]]:
    lines = re.findall(r"^\|(.+)\|$", PAGE.read_text().partition("## What that means")[0], re.M)
    rows = [[cell.strip() for cell in line.split("|")] for line in lines]
    return [row for row in rows if not set("".join(row)) <= {"-"}]


def test_the_page_names_every_dialect_and_every_field() -> None:
    head, *rows = table_of_the_page()

    assert head == ["", *(f"`{name}`" for name in DIALECTS)]
    assert [row[0] for row in rows] == list(ROWS)
    assert sorted(ROWS.values()) == sorted(field.name for field in fields(Dialect))


def test_every_cell_of_the_page_is_what_the_code_says() -> None:
    _, *rows = table_of_the_page()

    for label, *said in rows:
        field = ROWS[label]
        assert said == [cell(field, getattr(one, field)) for one in DIALECTS.values()], label
