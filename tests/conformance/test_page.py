"""The page is what the tests claim, and nothing that binds a service is missing from it."""

import csv
from pathlib import Path

import pytest

from tests.conformance.claims import Claims, claims_of, collect
from tests.conformance.page import PAGE, Row, reasons, sections, written

SETS = {"cds-hooks_2.0": "ch2", "cds-hooks-library_1.0.1": "lib"}
ROWS = [row for rows in sections().values() for row in rows]


@pytest.fixture(scope="module")
def claims() -> Claims:
    return collect()


@pytest.fixture(scope="module")
def listed(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / "cds-hooks/requirements.csv").open(encoding="utf-8-sig") as file:
        return list(csv.DictReader(file))


def id_of(row: dict[str, str]) -> str:
    return f"{SETS[row['Req Set']]}:{row['ID']}"


def test_the_page_is_up_to_date(claims: Claims) -> None:
    """Otherwise: python -m tests.conformance."""
    assert PAGE.read_text(encoding="utf-8") == written(sections(), claims, reasons())


def test_every_row_is_shown_by_a_test_or_has_a_reason_and_not_both(claims: Claims) -> None:
    because = reasons()

    assert {row.id for row in ROWS if (row.id in claims) == (row.id in because)} == set()
    assert set(because) <= {row.id for row in ROWS}


def test_the_rows_are_those_that_name_a_service(listed: list[dict[str, str]]) -> None:
    binding = {
        id_of(row): row["Conformance"]
        for row in listed
        if {"Service", "Server"} & set(row["Actors"].replace(" ", "").split(","))
    }

    assert {row.id: row.level for row in ROWS} == binding and len(binding) == 143


def test_every_claim_names_a_row_of_the_sets(claims: Claims, listed: list[dict[str, str]]) -> None:
    assert set(claims) <= {id_of(row) for row in listed}


def test_our_words_are_not_those_of_the_set(listed: list[dict[str, str]]) -> None:
    theirs = {id_of(row): row["Requirement"] for row in listed}

    assert [row.id for row in ROWS if row.text in theirs[row.id]] == []


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
        ("@pytest.mark.parametrize('x', [1])\ndef test_x(x): ...", []),
    ],
)
def test_a_claim_is_read_from_name_and_marker(source: str, claimed: list[str]) -> None:
    assert [requirement for _, requirement in claims_of(source)] == claimed


@pytest.mark.parametrize("wrong", ["83", "ch2_83", "ch3:1", "ch2:"])
def test_a_marker_with_something_else_is_an_error(wrong: str) -> None:
    with pytest.raises(ValueError, match="no requirement id"):
        list(claims_of(f"@pytest.mark.requirement({wrong!r})\ndef test_x(): ..."))


def test_a_row_that_nothing_accounts_for_stops_the_page() -> None:
    with pytest.raises(KeyError, match="ch2:1"):
        written({"Rows": [Row("ch2:1", "SHALL", "Sends JSON")]}, {}, {})
