"""Writes the conformance pages, or says which rows nothing accounts for."""

import sys

from tests.conformance.claims import collect
from tests.conformance.page import STATEMENTS, unaccounted, written


def main() -> int:
    """Return 0 when every page is written."""
    claims = collect()
    open_rows = [row for statement in STATEMENTS for row in unaccounted(statement, claims)]
    if open_rows:
        print(*(f"{row.id} {row.level}: {row.text}" for row in open_rows), sep="\n")  # noqa: T201  for people
        print(f"{len(open_rows)} rows lack a test")  # noqa: T201
        return 1
    for statement in STATEMENTS:
        statement.path.write_text(written(statement, claims), encoding="utf-8")
    return 0


sys.exit(main())
