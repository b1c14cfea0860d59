"""The `sightline ehr` commands: register a further EHR with a running service, list, remove.

The service reads its registrations from the ledger on every call, so a change needs no restart.

Source: CDS Hooks 2.0 "Trusting CDS Clients"; docs/reference/hook-service.md.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING

import click

from cds_service.domain.tenant import Tenant, Vendor
from cds_service.errors import NotFound, RegistrationRefused
from cds_service.settings import Settings
from cds_service.usecases.register_ehr import Registration, register_ehr, remove_ehr

if TYPE_CHECKING:  # SQLAlchemy loads only when a command runs
    from sqlalchemy import Engine

LEDGER = "ledger.sqlite"  # as Settings has it

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the running service, as the demo prints it (default: SIGHTLINE_* settings).",
)


@click.group()
def ehr() -> None:
    """Register EHRs with a running service; takes effect at once."""


@ehr.command()
@click.option("--name", required=True, help="Your own name for it, such as a hospital's.")
@click.option("--fhir-base", required=True, metavar="URL", help="FHIR base; also the SMART iss.")
@click.option("--issuer", required=True, metavar="ISS", help="iss of its CDS Hooks tokens.")
@click.option("--jwks", required=True, metavar="URL-OR-FILE", help="Its public keys.")
@click.option("--jku", metavar="URL", help="The only jku header that its tokens may have.")
@click.option("--client-id", metavar="ID", help="Sightline's client id there (app, own reads).")
@click.option("--archive", metavar="URL", help="DICOMweb base, for studies that name no endpoint.")
@click.option("--origin", "origins", multiple=True, metavar="URL", help="Of its pages; repeatable.")
@click.option(
    "--vendor",
    default=Vendor.GENERIC.value,
    show_default=True,
    type=click.Choice([vendor.value for vendor in Vendor]),
)
@data_option
def add(
    name: str,
    fhir_base: str,
    issuer: str,
    jwks: str,
    jku: str | None,
    client_id: str | None,
    archive: str | None,
    origins: tuple[str, ...],
    vendor: str,
    data: Path | None,
) -> None:
    """Trust an EHR's hook calls and let Sightline call its addresses, and no others."""
    from cds_service.adapters.ledger import SqlAuditLog, SqlTenants

    registration = Registration(
        name=name,
        fhir_base=fhir_base,
        issuer=issuer,
        jwks=_key_set(jwks),
        jku=jku,
        client_id=client_id,
        archive_base=archive,
        origins=origins,
        vendor=Vendor(vendor),
    )
    engine = _ledger(data)
    tenant = register_ehr(
        registration,
        register=SqlTenants(engine),
        audit=SqlAuditLog(engine),
        clock=lambda: datetime.now(UTC),
        new_id=lambda: token_urlsafe(16),
    )
    click.echo(f"Registered {tenant.name}: {tenant.fhir_base}")
    if tenant.client_id is None:
        click.echo("Without --client-id there is no app launch and no write-back.")


@ehr.command("list")
@data_option
def list_registered(data: Path | None) -> None:
    """Show the registered EHRs."""
    from cds_service.adapters.ledger import SqlTenants

    for tenant in SqlTenants(_ledger(data)).all():
        click.echo(
            f"{tenant.name}\n  FHIR base  {tenant.fhir_base}\n  issuer     {tenant.hook_issuer}"
        )
        click.echo(f"  client id  {tenant.client_id or 'none'}\n  vendor     {tenant.vendor.value}")


@ehr.command()
@click.argument("name")
@data_option
def remove(name: str, data: Path | None) -> None:
    """Stop trusting the EHR with this name; results about its patients stay."""
    from cds_service.adapters.ledger import SqlAuditLog, SqlTenants

    engine = _ledger(data)
    register = SqlTenants(engine)
    tenant = _named(name, register.all())
    remove_ehr(
        tenant.id, register=register, audit=SqlAuditLog(engine), clock=lambda: datetime.now(UTC)
    )
    click.echo(f"Removed {tenant.name}.")


def _named(name: str, tenants: list[Tenant]) -> Tenant:
    for tenant in tenants:
        if tenant.name == name:
            return tenant
    known = ", ".join(tenant.name for tenant in tenants) or "none"
    raise NotFound(f"No EHR is registered as {name!r}; registered: {known}.")


def _key_set(jwks: str) -> str:
    """Return an address as it is, and a file's text."""
    if jwks.startswith(("http://", "https://")):
        return jwks
    try:
        return Path(jwks).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise RegistrationRefused(f"The JWKS {jwks!r} is no URL and no readable file.") from None


def _ledger(data: Path | None) -> "Engine":
    from cds_service.adapters.ledger import check, connect

    engine = connect(Settings.from_env(os.environ).database_url if data is None else _sqlite(data))
    check(engine)
    return engine


def _sqlite(data: Path) -> str:
    path = data / LEDGER
    if not path.is_file():
        raise NotFound(f"There is no Sightline installation in {data}: it has no {LEDGER}.")
    return f"sqlite:///{path}"
