"""The `sightline ehr` commands: register a further EHR with a running service, list, remove.

The service reads its registrations from the ledger on every call, so a change needs no restart.

Source: CDS Hooks 2.0 "Trusting CDS Clients"; docs/reference/hook-service.md.
"""

import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING

import click

from cds_service.domain.dialect import DialectName
from cds_service.domain.smart_client import ClientKind
from cds_service.domain.tenant import ALGORITHM_KEYS, DEFAULT_ALGORITHMS, Tenant, Vendor
from cds_service.errors import NotFound, RegistrationRefused
from cds_service.settings import Settings
from cds_service.usecases.client_secret import seal_client_secret
from cds_service.usecases.register_ehr import Registration, register_ehr, remove_ehr

if TYPE_CHECKING:  # SQLAlchemy loads only when a command runs
    from sqlalchemy import Engine

LEDGER, MASTER_KEY = "ledger.sqlite", "master.key"  # as Settings has them

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
@click.option("--issuer", required=True, metavar="ISS", help="iss of its CDS Hooks tokens: a URI.")
@click.option("--jwks", required=True, metavar="URL-OR-FILE", help="Its public keys.")
@click.option("--jku", "jkus", multiple=True, metavar="URL", help="jku of its tokens; repeatable.")
@click.option(
    "--algorithm",
    "algorithms",
    multiple=True,
    type=click.Choice(list(ALGORITHM_KEYS)),
    help=f"Of its tokens; repeatable (default: {', '.join(DEFAULT_ALGORITHMS)}).",
)
@click.option(
    "--audience",
    "audiences",
    multiple=True,
    metavar="AUD",
    help="aud that it sends instead of the address that it calls; repeatable.",
)
@click.option(
    "--tenant-claim",
    "tenant_claims",
    multiple=True,
    metavar="TENANT",
    help="The tenant claims of its tokens; repeatable.",
)
@click.option("--subject", metavar="SUB", help="sub of its tokens (Epic: Sightline's client id).")
@click.option("--discovery-needs-token", is_flag=True, help="No discovery without a token.")
@click.option("--client-id", metavar="ID", help="Sightline's client id there (app, own reads).")
@click.option(
    "--client-kind",
    default=ClientKind.ASYMMETRIC.value,
    show_default=True,
    type=click.Choice([kind.value for kind in ClientKind]),
    help="How Sightline proves there who it is.",
)
@click.option(
    "--client-secret-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Holds the secret of a symmetric client; - reads it from standard input.",
)
@click.option("--archive", metavar="URL", help="DICOMweb base, for studies that name no endpoint.")
@click.option("--origin", "origins", multiple=True, metavar="URL", help="Of its pages; repeatable.")
@click.option(
    "--vendor",
    default=Vendor.GENERIC.value,
    show_default=True,
    type=click.Choice([vendor.value for vendor in Vendor]),
)
@click.option(
    "--dialect",
    type=click.Choice([dialect.value for dialect in DialectName]),
    help="What its cards look like (default: the vendor's).",
)
@click.option(
    "--app-user",
    "app_users",
    multiple=True,
    metavar="USER",
    help="For whom the app opens: a fhirUser or its type; repeatable (default: clinicians).",
)
@click.option(
    "--reviewer",
    "reviewers",
    multiple=True,
    metavar="USER",
    help="Which clinicians may review, in the same form; repeatable (default: all).",
)
@click.option(
    "--critical-limit",
    "critical_limit_min",
    type=int,
    default=60,
    show_default=True,
    metavar="MINUTES",
    help="Within which a critical finding is to be acknowledged.",
)
@click.option(
    "--language",
    metavar="TAG",
    help="BCP 47 tag of the language of its pages where no other is known (default: English).",
)
@click.option(
    "--show-drafts",
    "shows_drafts",
    is_flag=True,
    help="Use translations that nobody reviewed for report sentences, labelled as such.",
)
@data_option
def add(
    name: str,
    fhir_base: str,
    issuer: str,
    jwks: str,
    jkus: tuple[str, ...],
    algorithms: tuple[str, ...],
    audiences: tuple[str, ...],
    tenant_claims: tuple[str, ...],
    subject: str | None,
    discovery_needs_token: bool,
    client_id: str | None,
    client_kind: str,
    client_secret_file: Path | None,
    archive: str | None,
    origins: tuple[str, ...],
    vendor: str,
    dialect: str | None,
    app_users: tuple[str, ...],
    reviewers: tuple[str, ...],
    critical_limit_min: int,
    language: str | None,
    shows_drafts: bool,
    data: Path | None,
) -> None:
    """Trust an EHR's hook calls and let Sightline call its addresses, and no others."""
    from cds_service.adapters.ledger import SqlAuditLog, SqlTenants
    from cds_service.adapters.vault import Vault, load_or_create_key

    registration = Registration(
        name=name,
        fhir_base=fhir_base,
        issuer=issuer,
        jwks=_key_set(jwks),
        jkus=jkus,
        algorithms=algorithms,
        audiences=audiences,
        tenant_claims=tenant_claims,
        subject=subject,
        discovery_needs_token=discovery_needs_token,
        client_id=client_id,
        client_kind=ClientKind(client_kind),
        client_secret=_secret_in(client_secret_file),
        archive_base=archive,
        origins=origins,
        vendor=Vendor(vendor),
        dialect=None if dialect is None else DialectName(dialect),
        app_users=app_users,
        reviewers=reviewers,
        critical_limit_min=critical_limit_min,
        language=language,
        shows_drafts=shows_drafts,
    )
    engine = open_ledger(data)
    tenant = register_ehr(
        registration,
        register=SqlTenants(engine),
        audit=SqlAuditLog(engine),
        clock=lambda: datetime.now(UTC),
        new_id=lambda: token_urlsafe(16),
        # Opened only for a secret: an administrator may otherwise do without the master key.
        seal_secret=lambda tenant_id, secret: seal_client_secret(
            tenant_id, secret, vault=Vault(load_or_create_key(_master_key_file(data)))
        ),
    )
    click.echo(f"Registered {tenant.name}: {tenant.fhir_base}")
    if tenant.client_id is None:
        click.echo("Without --client-id there is no app launch and no write-back.")


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


@ehr.command()
@click.argument("name")
@data_option
def show(name: str, data: Path | None) -> None:
    """Print the registration of the EHR with this name; nothing in it is secret."""
    from cds_service.adapters.ledger import SqlTenants

    tenant = named_ehr(name, SqlTenants(open_ledger(data)).all())
    for label, value in _rows(tenant):
        click.echo(f"{label:<16}{value}")


@ehr.command()
@click.argument("name")
@data_option
def feedback(name: str, data: Path | None) -> None:
    """Count what became of the cards of the EHR with this name, by finding and model version."""
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
    """Stop trusting the EHR with this name; results about its patients stay."""
    from cds_service.adapters.ledger import SqlAuditLog, SqlTenants

    engine = open_ledger(data)
    register = SqlTenants(engine)
    tenant = named_ehr(name, register.all())
    remove_ehr(
        tenant.id, register=register, audit=SqlAuditLog(engine), clock=lambda: datetime.now(UTC)
    )
    click.echo(f"Removed {tenant.name}.")


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
        ("origins", _listed(tenant.origins, "none")),
        ("vendor", tenant.vendor.value),
        ("dialect", tenant.dialect.value),
        ("app users", _listed(tenant.app_users, "nobody")),
        ("reviewers", _listed(tenant.reviewers, "nobody")),
        ("critical limit", f"{tenant.critical_limit_min} min"),
        ("language", tenant.language or "English"),
        ("drafts", "used and labelled" if tenant.shows_drafts else "not used"),
    ]


def _listed(values: tuple[str, ...], otherwise: str) -> str:
    return ", ".join(values) or otherwise


def named_ehr(name: str, tenants: list[Tenant]) -> Tenant:
    """Return the EHR with this name; raise NotFound, naming those that there are."""
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


def _secret_in(file: Path | None) -> str | None:
    """Read a secret from a file, so that it stands in no list of processes and no history."""
    if file is None:
        return None
    try:
        with click.open_file(str(file), encoding="utf-8") as stream:
            return str(stream.read()).strip()
    except (OSError, UnicodeDecodeError):
        raise RegistrationRefused("The file of the client secret cannot be read.") from None


def _master_key_file(data: Path | None) -> Path:
    return Settings.from_env(os.environ).master_key_file if data is None else data / MASTER_KEY


def open_ledger(data: Path | None) -> "Engine":
    """Open the ledger of the service in this folder, or of the settings; raise NotFound."""
    from cds_service.adapters.ledger import check, connect

    engine = connect(Settings.from_env(os.environ).database_url if data is None else _sqlite(data))
    check(engine)
    return engine


def _sqlite(data: Path) -> str:
    path = data / LEDGER
    if not path.is_file():
        raise NotFound(f"There is no Sightline installation in {data}: it has no {LEDGER}.")
    return f"sqlite:///{path}"
