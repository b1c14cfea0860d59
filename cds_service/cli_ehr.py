"""The `sightline ehr` commands: register an EHR with a running service, change, list, remove.

The service reads its registrations from the ledger on every call, so a change needs no restart.

Source: CDS Hooks 2.0 "Trusting CDS Clients"; docs/reference/hook-service.md.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from secrets import token_urlsafe

import click

from cds_service.cli_ehr_options import (
    CLEARABLE,
    REQUIRED,
    cleared,
    fields_of,
    registration_options,
)
from cds_service.cli_installation import data_option, master_key_file, named_ehr, now, open_ledger
from cds_service.domain.image_form import ImageForm
from cds_service.domain.tenant import Tenant
from cds_service.errors import RegistrationRefused
from cds_service.usecases.client_secret import seal_client_secret
from cds_service.usecases.register_ehr import change_ehr, register_ehr, remove_ehr
from cds_service.usecases.registration import Registration


@click.group()
def ehr() -> None:
    """Register EHRs with a running service; takes effect at once."""


@ehr.command()
@registration_options
@data_option
def add(data: Path | None, **options: object) -> None:
    """Trust an EHR's hook calls, and let its addresses be called.

    No others are ever called. Needs --name, --fhir-base, --issuer and --jwks.
    docs/reference/registration.md explains every option.
    """
    fields = fields_of(options)
    missing = [f"--{name.replace('_', '-')}" for name in REQUIRED if name not in fields]
    if missing:
        raise RegistrationRefused(f"A new EHR needs {', '.join(missing)} too.")
    from cds_service.adapters.ledger import SqlAuditLog, SqlTenants

    engine = open_ledger(data)
    tenant = register_ehr(
        Registration(**fields),
        register=SqlTenants(engine),
        audit=SqlAuditLog(engine),
        clock=now,
        new_id=lambda: token_urlsafe(16),
        seal_secret=_seal_secret(data),
    )
    click.echo(f"Registered {tenant.name}: {tenant.fhir_base}")
    if tenant.client_id is None:
        click.echo("Without --client-id there is no app launch and no write-back.")
    _warn_of_conversion(fields)


@ehr.command()
@click.argument("ehr_name", metavar="NAME")
@registration_options
@click.option(
    "--without",
    multiple=True,
    type=click.Choice(CLEARABLE),
    help="Take what was registered for this option away; repeatable.",
)
@data_option
def change(ehr_name: str, without: tuple[str, ...], data: Path | None, **options: object) -> None:
    """Change a registration; what is not named stays as it is.

    A repeatable option replaces all of its former values. Results and reviews stay. The FHIR base
    cannot change. docs/reference/registration.md explains every option.
    """
    from cds_service.adapters.ledger import SqlAuditLog, SqlTenants

    changes = fields_of(options) | cleared(without)
    if not changes:
        raise RegistrationRefused("Name what is to change, such as --archive URL.")
    engine = open_ledger(data)
    register = SqlTenants(engine)
    before = named_ehr(ehr_name, register.all())
    after = change_ehr(
        before,
        changes,
        register=register,
        audit=SqlAuditLog(engine),
        clock=now,
        seal_secret=_seal_secret(data),
    )
    was = dict(_rows(before))
    for label, value in _rows(after):
        if value != was[label]:
            click.echo(f"{label:<16}{was[label]} -> {value}")
    if after == before:
        click.echo("Nothing changed.")
    _warn_of_conversion(changes)


@ehr.command("list")
@data_option
def list_registered(data: Path | None) -> None:
    """Show the registered EHRs."""
    from cds_service.adapters.ledger import SqlTenants

    for tenant in SqlTenants(open_ledger(data)).all():
        click.echo(
            f"{tenant.name}\n  FHIR base  {tenant.fhir_base}\n  issuer     {tenant.hook_issuer}"
        )
        click.echo(f"  client id  {tenant.client_id or 'none'}\n  vendor     {tenant.vendor.value}")
        if tenant.archive_credentials:
            click.echo(
                f"  archives   {', '.join(one.kind.value for one in tenant.archive_credentials)}"
            )


@ehr.command()
@click.argument("name")
@data_option
def show(name: str, data: Path | None) -> None:
    """Print a registration; nothing in it is secret."""
    from cds_service.adapters.ledger import SqlTenants

    tenant = named_ehr(name, SqlTenants(open_ledger(data)).all())
    for label, value in _rows(tenant):
        click.echo(f"{label:<16}{value}")


@ehr.command()
@click.argument("name")
@data_option
def feedback(name: str, data: Path | None) -> None:
    """Count what became of the cards.

    By finding, model version, outcome and reason.
    """
    from cds_service.adapters.ledger import SqlJudgements, SqlTenants

    engine = open_ledger(data)
    tenant = named_ehr(name, SqlTenants(engine).all())
    counts = Counter(
        (
            one.finding_code or "no finding",
            f"{one.model.id} {one.model.version}" if one.model else "no result yet",
            one.feedback.outcome.value,
            one.feedback.reason.display or one.feedback.reason.code if one.feedback.reason else "",
        )
        for one in SqlJudgements(engine).of(tenant.id)
    )
    for (finding, model, outcome, reason), count in sorted(counts.items()):
        click.echo(f"{count:>6}  {finding}  {model}  {outcome}  {reason}".rstrip())
    if not counts:
        click.echo("No feedback yet.")


@ehr.command()
@click.argument("name")
@data_option
def remove(name: str, data: Path | None) -> None:
    """Stop trusting an EHR; results about its patients stay."""
    from cds_service.adapters.ledger import SqlAuditLog, SqlTenants

    engine = open_ledger(data)
    register = SqlTenants(engine)
    tenant = named_ehr(name, register.all())
    remove_ehr(tenant.id, register=register, audit=SqlAuditLog(engine), clock=now)
    click.echo(f"Removed {tenant.name}.")


def _warn_of_conversion(fields: Mapping[str, object]) -> None:
    if fields.get("images", ImageForm.AS_STORED) is not ImageForm.AS_STORED:
        click.echo("Damage is not found in images that the archive has converted.")


def _rows(tenant: Tenant) -> list[tuple[str, str]]:
    """Return label and value of each line of a registration, in the order of the options."""
    return [
        ("name", tenant.name),
        ("FHIR base", tenant.fhir_base),
        ("issuer", tenant.hook_issuer),
        ("keys", tenant.jwks_url or "pinned"),
        ("jku", _listed(tenant.jkus, "not looked at")),
        ("algorithms", _listed(tenant.algorithms, "")),
        ("audiences", _listed(tenant.audiences, "the address that is called")),
        ("tenant claims", _listed(tenant.tenant_claims, "not looked at")),
        ("subject", tenant.subject or "not looked at"),
        ("discovery", "needs a token" if tenant.discovery_needs_token else "public"),
        ("client id", tenant.client_id or "none"),
        ("client kind", tenant.client_kind.value),
        ("archive", tenant.archive_base or "none"),
        ("other archives", _listed(tenant.other_archives, "none")),
        ("images", tenant.images.value),
        ("credentials", _credentials(tenant)),
        ("binding", tenant.binding.value),
        ("origins", _listed(tenant.origins, "none")),
        ("vendor", tenant.vendor.value),
        ("dialect", tenant.dialect.value),
        ("app users", _listed(tenant.app_users, "nobody")),
        ("reviewers", _listed(tenant.reviewers, "nobody")),
        ("critical limit", f"{tenant.critical_limit_min} min"),
        ("language", tenant.language or "English"),
        ("drafts", "used and labelled" if tenant.shows_drafts else "not used"),
        ("running cards", _yes(tenant.shows_running)),
        ("negative cards", _yes(tenant.shows_negative)),
        ("mismatch cards", _yes(tenant.shows_mismatch)),
        ("own reads", _yes(tenant.backend_services)),
    ]


def _credentials(tenant: Tenant) -> str:
    shown = tuple(f"{one.kind.value} for {one.base}" for one in tenant.archive_credentials)
    return _listed(shown, "the EHR's token")


def _yes(policy: bool) -> str:
    return "yes" if policy else "no"


def _listed(values: tuple[str, ...], otherwise: str) -> str:
    return ", ".join(values) or otherwise


def _seal_secret(data: Path | None) -> Callable[[str, str], bytes]:
    """Return what seals a client's secret.

    The master key is opened only for a secret: an administrator may otherwise do without it.
    """
    from cds_service.adapters.vault import Vault, load_or_create_key

    return lambda tenant_id, secret: seal_client_secret(
        tenant_id, secret, vault=Vault(load_or_create_key(master_key_file(data)))
    )
