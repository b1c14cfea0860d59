"""The `sightline mismatches` command: which studies could not be matched to their patient.

Source: architecture "What a card says" (identity mismatch, and an alert to the administrator).
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from cds_service.cli_ehr import data_option, open_ledger
from cds_service.domain.audit import AuditAction, AuditEvent

_ALERTS = (AuditAction.PATIENT_MISMATCH, AuditAction.NAME_DIFFERS)


@click.command()
@click.option(
    "--days", default=7, show_default=True, type=click.IntRange(1, 3650), help="How far back."
)
@data_option
def mismatches(days: int, data: Path | None) -> None:
    """Show the studies whose images did not agree with the EHR, newest first, and in what.

    Names no patient: EHR and StudyInstanceUID lead to the images. Exit code 1 where a study was
    refused, so that a monitor can ask; a name that is only spelled otherwise leaves it 0.
    """
    from cds_service.adapters.ledger import SqlAuditLog, SqlTenants

    engine = open_ledger(data)
    names = {tenant.id: tenant.name for tenant in SqlTenants(engine).all()}
    found = SqlAuditLog(engine).newest(_ALERTS, since=datetime.now(UTC) - timedelta(days=days))
    for event in found:
        click.echo(_line(event, names.get(event.tenant_id or "", "an EHR that is not registered")))
    if not found:
        click.echo("Every study was matched to its patient.")
    sys.exit(any(event.action is AuditAction.PATIENT_MISMATCH for event in found))


def _line(event: AuditEvent, ehr: str) -> str:
    what = event.detail or event.action.value
    return f"{event.at:%Y-%m-%d %H:%M}  {event.outcome:<8}{what:<40}{ehr}  {event.study_uid}"
