"""Writes the conformance page, or says which rows nothing accounts for."""

import sys

from tests.conformance.claims import collect
from tests.conformance.page import PAGE, reasons, sections, written


def main() -> int:
    """Return 0 when the page is written."""
    grouped, claims, because = sections(), collect(), reasons()
    open_rows = [
        f"{row.id} {row.level}: {row.text}"
        for rows in grouped.values()
        for row in rows
        if row.id not in claims and row.id not in because
    ]
    if open_rows:
        print(*open_rows, f"{len(open_rows)} rows lack a test", sep="\n")  # noqa: T201  for people
        return 1
    PAGE.write_text(written(grouped, claims, because), encoding="utf-8")
    return 0


sys.exit(main())
