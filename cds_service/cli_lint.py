"""The `sightline lint-cds` command: any CDS service's documents against CDS Hooks.

It needs no installation of Sightline, no ledger and no settings.

Source: docs/how-to/lint-a-cds-service.md.
"""

import json
import sys
from dataclasses import asdict
from typing import Any

import click

from cds_service.errors import NotFound
from cds_service.lint import Breach, Dialect, Kind, Level, Target, Version, guess_kind, lint, parse


@click.command("lint-cds")
@click.argument("source", metavar="URL|FILE|-")
@click.option(
    "--version",
    "version",
    type=click.Choice([version.value for version in Version]),
    help="Of CDS Hooks (default: 2.0, and 1.0 for the dialect oracle).",
)
@click.option(
    "--dialect",
    type=click.Choice([dialect.value for dialect in Dialect]),
    help="Also check what this vendor asks for.",
)
@click.option(
    "--kind",
    type=click.Choice([kind.value for kind in Kind]),
    help="What the document is (default: told from its top level).",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def lint_cds(
    source: str, version: str | None, dialect: str | None, kind: str | None, as_json: bool
) -> None:
    """Check a CDS service against CDS Hooks, rule by rule.

    A URL is the base of a running service, whose discovery is fetched; a FILE holds a
    discovery, a response or feedback as JSON; - reads stdin. Exit code 0: no rule broken. 1: some
    are. 2: there was nothing to check.
    """
    if source.startswith(("http://", "https://")):
        from cds_service.cli_discovery import (  # requests, only here
            discovery_address,
            fetch_discovery,
        )

        text, found = fetch_discovery(discovery_address(source))
        kind = kind or Kind.DISCOVERY.value
    else:
        text, found = _read(source), []
    document, refused = parse(text)
    found += refused
    target = None
    if not refused:
        target = Target(
            Kind(kind) if kind else _guessed(document),
            Version(version or (Version.V1 if dialect == Dialect.ORACLE else Version.V2)),
            Dialect(dialect) if dialect else None,
        )
        found += lint(document, target)
    if as_json:
        click.echo(json.dumps(_as_json(found, target), ensure_ascii=False, indent=2))
    else:
        _print(found, target)
    sys.exit(1 if any(one.level is Level.BREACH for one in found) else 0)


def _read(source: str) -> bytes:
    try:
        with click.open_file(source, "rb") as file:
            return bytes(file.read())
    except OSError as error:
        raise NotFound(f"{source} cannot be read: {error.strerror}.") from None


def _guessed(document: object) -> Kind:
    kind = guess_kind(document)
    if kind is None:
        raise click.UsageError(
            "The document has no 'services', 'cards' or 'feedback': say what it is with --kind."
        )
    return kind


def _as_json(found: list[Breach], target: Target | None) -> dict[str, Any]:
    """Return the public shape (docs/how-to/lint-a-cds-service.md)."""
    return {
        "kind": target.kind if target else None,
        "version": target.version if target else None,
        "dialect": target.dialect if target else None,
        "breaches": [asdict(one) for one in found],
    }


def _print(found: list[Breach], target: Target | None) -> None:
    for one in found:
        place = _printable(one.pointer) or "(whole document)"
        click.echo(f"{one.level:<7} {one.requirement:<8} {place}")
        click.echo(f"        {_printable(one.problem)}\n        Fix: {_printable(one.fix)}")
    count = sum(one.level is Level.BREACH for one in found)
    against = ""
    if target:
        dialect = f", dialect {target.dialect}" if target.dialect else ""
        against = f"Checked as {target.kind} of CDS Hooks {target.version}{dialect}: "
    breaches = "1 breach" if count == 1 else f"{count} breaches"
    click.echo(f"{against}{breaches}, {len(found) - count} advice.")


def _printable(text: str) -> str:
    """Escape what a terminal would obey: the document's own names stand in what is printed."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
