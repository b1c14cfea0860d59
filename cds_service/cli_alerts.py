"""`sightline ehr alerts`: how often cards may speak at one EHR, and what that held back.

Source: docs/reference/hook-service.md, "How often it speaks".
"""

from pathlib import Path
from typing import Any

import click

from cds_service.cli_installation import data_option, named_ehr, now, open_ledger
from cds_service.domain.alert import CHARTS, AlertCount, AlertPolicy
from cds_service.domain.card import Indicator
from cds_service.usecases.set_alerts import set_alerts


@click.command()
@click.argument("name")
@click.option(
    "--finding",
    default="",
    metavar="CODE",
    help="Code of the finding that the settings are for (default: every other one).",
)
@click.option(
    "--minimum-indicator",
    type=click.Choice([one.value for one in Indicator]),
    help="The calmest card that is shown.",
)
@click.option(
    "--quiet-after-override/--repeat-after-override",
    default=None,
    help="After an override, stay quiet for that user until the result changes.",
)
@click.option(
    "--quiet-when-acknowledged/--repeat-when-acknowledged",
    default=None,
    help="Stay quiet once anybody reviewed the finding or accepted its card.",
)
@click.option(
    "--budget",
    type=click.IntRange(0, 9999),
    help=f"Notices per {CHARTS} charts; critical ones are free.",
)
@click.option("--no-budget", is_flag=True, help="No limit.")
@click.option(
    "--order-check-days",
    type=click.IntRange(0, 3650),
    help="How old a study may be that an order is compared with; 0: no order check.",
)
@data_option
def alerts(name: str, finding: str, data: Path | None, **given: object) -> None:
    """Show how often cards may speak, or change it."""
    from cds_service.adapters.ledger import SqlAlerts, SqlAuditLog, SqlTenants

    engine = open_ledger(data)
    tenant = named_ehr(name, SqlTenants(engine).all())
    settings = SqlAlerts(engine)
    changes = _changes(given)
    if changes:
        set_alerts(
            tenant,
            finding,
            changes,
            settings=settings,
            audit=SqlAuditLog(engine),
            clock=now,
        )
    policies, counts = settings.policies(tenant.id), settings.counts(tenant.id)
    for code, policy in {"": policies.default, **policies.of_finding}.items():
        click.echo(f"{tenant.name}, {f'finding {code}' if code else 'every other finding'}")
        for label, value in _rows(policy, counts.get(code, AlertCount())):
            click.echo(f"  {label:<24} {value}")


def _changes(given: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of AlertPolicy that were named on the command line."""
    changes = {name: value for name, value in given.items() if value is not None}
    if "minimum_indicator" in changes:
        changes["minimum_indicator"] = Indicator(changes["minimum_indicator"])
    if "budget" in changes:
        changes["budget_per_100_charts"] = changes.pop("budget")
    if changes.pop("no_budget"):
        changes["budget_per_100_charts"] = None
    return changes


def _rows(policy: AlertPolicy, count: AlertCount) -> list[tuple[str, str]]:
    budget = policy.budget_per_100_charts
    rows = [
        ("minimum indicator", policy.minimum_indicator.value),
        ("quiet after override", "yes" if policy.quiet_after_override else "no"),
        ("quiet when acknowledged", "yes" if policy.quiet_when_acknowledged else "no"),
        ("budget per 100 charts", "none" if budget is None else str(budget)),
        ("order check", f"{policy.order_check_days} days" if policy.order_check_days else "off"),
    ]
    if budget is None:
        return rows
    now = f"{count.charts} charts, {count.shown} notices, {count.held_back} held back"
    return [*rows, ("in these 100 charts", now), ("held back ever", str(count.held_back_ever))]
