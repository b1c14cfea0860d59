"""The `sightline mismatches` command: which images are not what the EHR or an earlier read says.

Source: architecture "What a card says" (identity mismatch, and an alert to the administrator).
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from cds_service.cli_installation import data_option, open_ledger
from cds_service.domain.audit import AuditAction, AuditEvent

_ALERTS = (AuditAction.PATIENT_MISMATCH, AuditAction.PIXELS_DIFFER, AuditAction.NAME_DIFFERS)
_REFUSED = "refused"


@click.command()
@click.option(
    "--days", default=7, show_default=True, type=click.IntRange(1, 3650), help="How far back."
)
@data_option
def mismatches(days: int, data: Path | None) -> None:
    """Show the studies whose images did not agree with the EHR.

    The newest first, and what differed. Those whose images decode to other pixels than before are
    shown too (pixels-differ). Names no patient: EHR and StudyInstanceUID lead to the images. Exit
    code 1 where something was refused, so that a monitor can ask; a name that is only spelled
    otherwise leaves it 0.
    """
    from cds_service.adapters.ledger import SqlAuditLog, SqlTenants

    engine = open_ledger(data)
    names = {tenant.id: tenant.name for tenant in SqlTenants(engine).all()}
    found = SqlAuditLog(engine).newest(_ALERTS, since=datetime.now(UTC) - timedelta(days=days))
    for event in found:
        click.echo(_line(event, names.get(event.tenant_id or "", "an EHR that is not registered")))
    if not found:
        click.echo("Every study was matched to its patient, and no image has other pixels now.")
    sys.exit(any(event.outcome == _REFUSED for event in found))


def _line(event: AuditEvent, ehr: str) -> str:
    what = event.detail or event.action.value
    return f"{event.at:%Y-%m-%d %H:%M}  {event.outcome:<8}{what:<40}  {ehr}  {event.study_uid}"
