"""The `sightline jobs` commands: what waits for a worker, and what was given up.

Source: architecture "a job that kills its worker twice is quarantined"; `usecases/retry_job.py`.
"""

import sys
from datetime import timedelta
from pathlib import Path

import click

from cds_service.cli_installation import data_option, now, open_ledger
from cds_service.domain.job import Job, JobState
from cds_service.domain.line import Backlog
from cds_service.errors import ArchiveRefused
from cds_service.usecases.retry_job import release_job

STATE_WORDS = {JobState.FAILED: "failed", JobState.QUARANTINED: "quarantined"}

UNREGISTERED = "an EHR that is not registered"


@click.group()
def jobs() -> None:
    """Analyses that wait, and those that were given up."""


@jobs.command()
@click.option(
    "--older-than",
    "limit_min",
    default=10,
    show_default=True,
    type=click.IntRange(1, 10_080),
    metavar="MINUTES",
    help="How long a job may wait.",
)
@data_option
def waiting(limit_min: int, data: Path | None) -> None:
    """Show how many jobs wait for a worker, of each EHR and priority. Names no patient.

    A job waits while no worker holds it; one that was sent back, or whose worker died, waits anew.
    Exit code 1 where the oldest has waited for longer than that, so that a monitor can ask.
    """
    from cds_service.adapters.ledger import SqlTenants, SqlWaitingJobs

    engine = open_ledger(data)
    names = {tenant.id: tenant.name for tenant in SqlTenants(engine).all()}
    backlogs = SqlWaitingJobs(engine).waiting()
    for one in backlogs:
        click.echo(_backlog_line(one, names.get(one.tenant_id, UNREGISTERED)))
    if not backlogs:
        click.echo("No job waits.")
    sys.exit(any(one.oldest > timedelta(minutes=limit_min) for one in backlogs))


@jobs.command("list")
@data_option
def list_lost(data: Path | None) -> None:
    """Show the jobs that nobody works on any more, newest first. Names no patient."""
    from cds_service.adapters.ledger import SqlLostJobs, SqlTenants

    engine = open_ledger(data)
    names = {tenant.id: tenant.name for tenant in SqlTenants(engine).all()}
    lost = SqlLostJobs(engine).lost()
    for job in lost:
        click.echo(_line(job, names.get(job.study.tenant_id, UNREGISTERED)))
    if any(job.error == ArchiveRefused.__name__ for job in lost):
        click.echo(
            "ArchiveRefused: an archive lets Sightline in only with credentials of its own; "
            "see sightline archive credential --help."
        )
    if not lost:
        click.echo("No job has failed or is quarantined.")


@jobs.command()
@click.argument("job_id")
@data_option
def retry(job_id: str, data: Path | None) -> None:
    """Release a failed or quarantined job.

    The next opening of the patient's chart asks for it again. A quarantined job killed its worker
    twice; released, it is quarantined again at its next crash.
    """
    from cds_service.adapters.ledger import SqlAuditLog, SqlLostJobs

    engine = open_ledger(data)
    lost = SqlLostJobs(engine)
    job = lost.get(job_id)
    is_released = release_job(job, lost=lost, audit=SqlAuditLog(engine), clock=now)
    if is_released:
        click.echo(f"Released {job_id}: it is analysed again when the patient's chart is opened.")
    else:
        click.echo(f"{job_id} is {job.state}: there is nothing to release.")


def _line(job: Job, ehr: str) -> str:
    return (
        f"{job.id}  {STATE_WORDS[job.state]:<11}  {job.updated_at:%Y-%m-%d %H:%M}  "
        f"{job.error or 'unknown':<20}  {ehr}"
    )


def _backlog_line(backlog: Backlog, ehr: str) -> str:
    oldest_min = backlog.oldest // timedelta(minutes=1)
    return (
        f"{backlog.priority.name.lower():<8}  {backlog.jobs:>6} waiting  "
        f"oldest {oldest_min:>4} min  {ehr}"
    )
