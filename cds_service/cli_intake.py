"""The `sightline intake` commands: which doors an EHR's studies may come in by.

Source: docs/how-to/feed-studies.md.
"""

import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click

from cds_service.cli_installation import data_option, name_option, named_ehr, now, open_ledger
from cds_service.domain.audit import AuditAction
from cds_service.domain.intake import Door
from cds_service.domain.tenant import Tenant
from cds_service.errors import RegistrationRefused
from cds_service.settings import Settings
from cds_service.telemetry import configure_logging
from cds_service.usecases import open_door as doors

if TYPE_CHECKING:  # SQLAlchemy loads only when a command runs
    from sqlalchemy import Engine

door_argument = click.argument("door", type=click.Choice([door.value for door in Door]))


@click.group()
def intake() -> None:
    """Let studies in before a chart is opened. Every door is closed until you open it."""


@intake.command("open")
@name_option
@door_argument
@click.option(
    "--feed",
    metavar="URL",
    help="Base of the archive's change feed, for orthanc-changes and azure-change-feed.",
)
@data_option
def open_(name: str, door: str, feed: str | None, data: Path | None) -> None:
    """Open a door of an EHR."""
    from cds_service.adapters.ledger import SqlAuditLog, SqlTenants

    engine = open_ledger(data)
    tenant = _tenant(engine, name)
    doors.open_door(
        tenant,
        Door(door),
        change_feed=_address(feed) if feed else None,
        register=SqlTenants(engine),
        audit=SqlAuditLog(engine),
        clock=now,
    )
    click.echo(f"{tenant.name}: {door} is open.")


@intake.command()
@name_option
@door_argument
@data_option
def close(name: str, door: str, data: Path | None) -> None:
    """Close a door of an EHR."""
    from cds_service.adapters.ledger import SqlAuditLog, SqlTenants

    engine = open_ledger(data)
    tenant = _tenant(engine, name)
    doors.close_door(
        tenant,
        Door(door),
        register=SqlTenants(engine),
        audit=SqlAuditLog(engine),
        clock=now,
    )
    click.echo(f"{tenant.name}: {door} is closed.")


@intake.command()
@name_option
@data_option
def status(name: str, data: Path | None) -> None:
    """Show which doors are open, and when each last read."""
    from cds_service.adapters.ledger import SqlIntakeCursors

    engine = open_ledger(data)
    tenant, cursors = _tenant(engine, name), SqlIntakeCursors(engine)
    for door in Door:
        row = f"{door.value:<20}{'open' if tenant.opened(door) else 'closed':<8}"
        kept_at = cursors.kept_at(tenant.id, door)
        if kept_at is not None:
            waiting = len(cursors.position(tenant.id, door).get("waiting", ()))
            row += f"read {kept_at:%Y-%m-%d %H:%M:%S} UTC"
            row += f", {waiting} waiting for the EHR" if waiting else ""
        click.echo(row.rstrip())
    if tenant.change_feed:
        click.echo(f"{'change feed':<20}{tenant.change_feed}")


@intake.command()
@click.option(
    "--days", default=7, show_default=True, type=click.IntRange(1, 3650), help="How far back."
)
@data_option
def refused(days: int, data: Path | None) -> None:
    """Show the calls that the doors refused, newest first.

    Which door, why, and from where. Of many calls of one kind the first is shown, the tenth, the
    hundredth and so on.
    """
    from cds_service.adapters.ledger import SqlAuditLog, SqlTenants

    engine = open_ledger(data)
    names = {tenant.id: tenant.name for tenant in SqlTenants(engine).all()}
    since = datetime.now(UTC) - timedelta(days=days)
    found = SqlAuditLog(engine).newest([AuditAction.CALL_REFUSED], since=since)
    for one in found:
        row = f"{one.at:%Y-%m-%d %H:%M}  {one.agent:<14}{one.outcome:<24}{one.detail}"
        click.echo("  ".join([row, *filter(None, [names.get(one.tenant_id or "")])]))
    if not found:
        click.echo("The doors refused no call.")


@intake.command()
@name_option
def subscribe(name: str) -> None:
    """Let an EHR ring when it has a study.

    Needs the settings of the service (SIGHTLINE_*), and the door subscription open.
    """
    from cds_service.wiring import subscribe_at

    settings = Settings.from_env(os.environ)
    tenant = _tenant(open_ledger(None), name)
    if not tenant.opened(Door.SUBSCRIPTION):
        raise RegistrationRefused(
            f"The door {Door.SUBSCRIPTION.value} is closed: "
            f"sightline intake open --ehr NAME {Door.SUBSCRIPTION.value}"
        )
    logical_id = subscribe_at(settings, tenant)
    click.echo(f"{tenant.name}: Subscription/{logical_id} rings at {settings.public_url}.")


@intake.command()
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(1, 3600),
    default=15,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait before a door is asked again.",
)
@click.option("--once", is_flag=True, help="Ask every open door once, and end.")
def run(every_s: float, once: bool) -> None:
    """Ask the open doors that must be asked, until SIGTERM.

    Needs the settings of the service (SIGHTLINE_*).
    """
    from cds_service.wiring import intake_poller

    settings = Settings.from_env(os.environ)
    configure_logging(settings.log_level)
    poller = intake_poller(settings, every_s=every_s)
    if once:
        for outcome, count in sorted(poller.round().items()):
            click.echo(f"{count:>6}  {outcome}")
        return
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    poller.run(stop)


def _address(feed: str) -> str:
    from cds_service.adapters.egress import origin_of

    origin_of(feed)  # by the parser that also dials
    if "?" in feed or "#" in feed:
        raise RegistrationRefused("The change feed address must not have a query or a fragment.")
    return feed.rstrip("/")


def _tenant(engine: "Engine", name: str) -> Tenant:
    from cds_service.adapters.ledger import SqlTenants

    return named_ehr(name, SqlTenants(engine).all())
