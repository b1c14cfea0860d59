"""The `sightline` command and the sections of its help."""

import os
import sys
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import click

from cds_service.cli_alerts import alerts
from cds_service.cli_analyze import analyze
from cds_service.cli_archive import archive
from cds_service.cli_codecs import codecs
from cds_service.cli_ehr import ehr
from cds_service.cli_ehr_check import check
from cds_service.cli_intake import intake
from cds_service.cli_jobs import jobs
from cds_service.cli_keys import keys
from cds_service.cli_lint import lint_cds
from cds_service.cli_mismatches import mismatches
from cds_service.cli_models import models
from cds_service.cli_push import dimse, token
from cds_service.cli_route import route
from cds_service.errors import SightlineError
from cds_service.settings import Settings
from cds_service.telemetry import configure_logging

SECTIONS = {
    "Try it": ("demo", "analyze"),
    "Set it up": ("upgrade", "ehr", "archive", "models", "intake", "keys"),
    "Run it": ("worker", "dimse"),
    "Watch it": ("jobs", "mismatches"),
    "Check": ("route", "codecs", "lint-cds"),
}


class _Group(click.Group):
    """A group in sections, whose commands end our own errors as one sentence and exit code 2."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, self.commands))
        for section, names in SECTIONS.items():
            with formatter.section(section):
                formatter.write_dl(
                    [
                        (
                            name.ljust(width),
                            self.commands[name].get_short_help_str(formatter.width - 6 - width),
                        )
                        for name in names
                    ]
                )

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except SightlineError as error:
            click.echo(f"sightline: {error}", err=True)
            sys.exit(2)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sightline")
def main() -> None:
    """Imaging-AI findings inside the EHR: a CDS Hooks service and a SMART-on-FHIR app."""


@main.command()
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(1, 65535),
    help="Port of the service; the sandbox EHR has the next one.",
)
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to keep everything in (default: a temporary one).",
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the addresses to this file as JSON once all is ready.",
)
def demo(port: int, data: Path | None, state: Path | None) -> None:
    """Start a sandbox EHR, the service, Redis and a worker.

    Opens the browser unless NO_BROWSER=1 is set. Ctrl-C stops them all.
    """
    from cds_service.demo.stack import run_demo  # heavy, and only here

    configure_logging("WARNING")
    try:
        run_demo(
            port=port,
            data=data,
            state=state,
            browser=os.environ.get("NO_BROWSER", "") in {"", "0"},
            say=lambda name, what: click.echo(f"  {name:<9} {what}"),
        )
    except KeyboardInterrupt:
        click.echo("  demo      stopped")


@main.command()
@click.option("--processes", type=click.IntRange(1, 256), help="Workers; else SIGHTLINE_WORKERS.")
def worker(processes: int | None) -> None:
    """Analyse studies until SIGTERM.

    Needs the settings of the service (SIGHTLINE_*). Where neither they nor --processes say how
    many workers, a measurement of two seconds chooses, and is kept.
    """
    from cds_service.intake.settle_inbox import keep_settling
    from cds_service.wiring import plan_workers, settlement, sweep, warn_of_redis
    from cds_service.worker import Supervisor
    from cds_service.worker_plan import settled

    settings = Settings.from_env(os.environ)
    configure_logging(settings.log_level)
    keeping = (settlement(settings), Event())
    Thread(target=keep_settling, args=keeping, name="inbox", daemon=True).start()
    plan = plan_workers(replace(settings, workers=processes or settings.workers))
    click.echo(f"  worker    {plan}")
    warn_of_redis(settings)
    Supervisor(settled(settings, plan), plan.processes, sweep(settings)).run()


@main.command()
def upgrade() -> None:
    """Make the ledger and the keys, or bring them to this version.

    Needs the settings of the service (SIGHTLINE_*). Once on one machine, before service and
    workers start; said again, it does no harm.
    """
    from cds_service.wiring import prepare_installation

    settings = Settings.from_env(os.environ)
    prepare_installation(settings)
    click.echo("The ledger and the keys are ready for this version.")


ehr.add_command(alerts)
ehr.add_command(check)
intake.add_command(token)
main.add_command(analyze)
main.add_command(archive)
main.add_command(codecs)
main.add_command(dimse)
main.add_command(ehr)
main.add_command(keys)
main.add_command(intake)
main.add_command(jobs)
main.add_command(mismatches)
main.add_command(lint_cds)
main.add_command(models)
main.add_command(route)

if __name__ == "__main__":
    main()
