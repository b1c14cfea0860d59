"""The pages are what the tests claim, and nothing that binds us is missing from them."""

import csv
from pathlib import Path

import pytest

from tests.conformance.claims import Claims, claims_of, collect
from tests.conformance.page import CDS_HOOKS, SMART, STATEMENTS, Row, Statement, line, written

SETS = {
    "cds-hooks_2.0": "ch2:",
    "cds-hooks-library_1.0.1": "lib:",
    "hl7.fhir.uv.smart-app-launch_2.2.0": "@",
}
FILES = {
    CDS_HOOKS.folder: ("cds-hooks/requirements.csv", {"Service", "Server"}, 143),
    SMART.folder: ("smart/requirements.csv", {"Client"}, 164),
}
each = pytest.mark.parametrize("statement", STATEMENTS, ids=lambda one: one.folder)


@pytest.fixture(scope="module")
def claims() -> Claims:
    return collect()


def rows_of(statement: Statement) -> list[Row]:
    return [row for rows in statement.sections().values() for row in rows]


def listed(shared_data: Path, statement: Statement) -> dict[str, dict[str, str]]:
    """The rows of the set by our id."""
    with (shared_data / FILES[statement.folder][0]).open(encoding="utf-8-sig") as file:
        return {f"{SETS[row['Req Set']]}{row['ID']}": row for row in csv.DictReader(file)}


@each
def test_the_page_is_up_to_date(statement: Statement, claims: Claims) -> None:
    """Otherwise: python -m tests.conformance."""
    assert statement.path.read_text(encoding="utf-8") == written(statement, claims)


@each
def test_every_row_is_shown_by_a_test_or_has_one_reason_and_not_both(
    statement: Statement, claims: Claims
) -> None:
    accounts = (claims, statement.not_applicable(), statement.not_yet())

    rows = {row.id for row in rows_of(statement)}
    assert {one for one in rows if sum(one in account for account in accounts) != 1} == set()
    assert statement.not_applicable().keys() | statement.not_yet().keys() <= rows


@each
def test_the_rows_are_those_that_bind_us(statement: Statement, shared_data: Path) -> None:
    _, actors, count = FILES[statement.folder]
    binding = {
        one: row["Conformance"]
        for one, row in listed(shared_data, statement).items()
        if actors & set(row["Actors"].replace(" ", "").split(","))
    }

    assert {row.id: row.level for row in rows_of(statement)} == binding and len(binding) == count


@each
def test_every_claim_names_a_row_of_the_sets(
    statement: Statement, claims: Claims, shared_data: Path
) -> None:
    assert set(statement.own(claims)) <= set(listed(shared_data, statement))


@each
def test_our_words_are_not_those_of_the_set(statement: Statement, shared_data: Path) -> None:
    theirs = listed(shared_data, statement)

    assert [row.id for row in rows_of(statement) if row.text in theirs[row.id]["Requirement"]] == []


# --- reading claims --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "claimed"),
    [
        ("def test_ch2_83_is_short(): ...", ["ch2:83"]),
        ("def test_ch2_201_203_is_refused(): ...", ["ch2:201", "ch2:203"]),
        ("def test_a_field_of_lib_16_is_no_token(): ...", ["lib:16"]),
        ("def test_ch2_80_to_147_a_card(): ...", ["ch2:80"]),
        ("def test_ends_with_ch2_3(): ...", ["ch2:3"]),
        ("def test_arch2_5_and_ch2_7b(): ...", []),
        ("def helper_ch2_83(): ...", []),
        ("@pytest.mark.requirement('ch2:4', 'lib:8')\ndef test_x(): ...", ["ch2:4", "lib:8"]),
        ("@pytest.mark.slow\n@pytest.mark.requirement('ch2:4')\ndef test_x(): ...", ["ch2:4"]),
        ("@pytest.mark.requirement('ch2:4')\ndef test_ch2_4_x(): ...", ["ch2:4"]),
        ("@pytest.mark.requirement('@4')\ndef test_x(): ...", ["@4"]),
        ("@pytest.mark.parametrize('x', [1])\ndef test_x(x): ...", []),
    ],
)
def test_a_claim_is_read_from_name_and_marker(source: str, claimed: list[str]) -> None:
    assert [requirement for _, requirement in claims_of(source)] == claimed


@pytest.mark.parametrize("wrong", ["83", "ch2_83", "ch3:1", "ch2:", "@", "@2x"])
def test_a_marker_with_something_else_is_an_error(wrong: str) -> None:
    with pytest.raises(ValueError, match="no requirement id"):
        list(claims_of(f"@pytest.mark.requirement({wrong!r})\ndef test_x(): ..."))


def test_a_row_that_nothing_accounts_for_stops_the_page() -> None:
    with pytest.raises(KeyError, match="ch2:1"):
        line(Row("ch2:1", "SHALL", "Sends JSON"), {}, {})
