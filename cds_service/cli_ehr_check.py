"""`sightline ehr check`: try a registered EHR, and say what to do about what does not work.

Source: docs/how-to/connect-an-ehr.md "Then check it".
"""

import json
from dataclasses import asdict
from pathlib import Path

import click

from cds_service.cli_installation import (
    data_option,
    named_ehr,
    open_ledger,
    reading_settings,
)
from cds_service.usecases.ehr_probes import Outcome, Said


@click.command()
@click.argument("name")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per check and line.")
@data_option
def check(name: str, as_json: bool, data: Path | None) -> None:
    """See whether an EHR works with Sightline.

    Tries FHIR, sign-in, keys, tokens, archives and this installation, each for 10 s at the most;
    changes nothing and shows nothing of any patient. Exit code 1: something failed.
    """
    from cds_service.adapters.ledger import SqlTenants
    from cds_service.wiring import checked_ehr

    tenant = named_ehr(name, SqlTenants(open_ledger(data)).all())
    has_failed = False
    for said in checked_ehr(reading_settings(data), tenant, is_ours=data is None):
        has_failed |= said.outcome is Outcome.FAILED
        click.echo(json.dumps(asdict(said), ensure_ascii=False) if as_json else _line(said))
    raise SystemExit(1 if has_failed else 0)


def _line(said: Said) -> str:
    return f"{said.outcome:<11} {said.check:<20} {said.text} {said.advice}".rstrip()
