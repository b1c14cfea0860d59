"""`sightline archive credential`: what an archive asks for that takes no token of the EHR.

Source: docs/how-to/connect-an-archive.md.
"""

import sys
from pathlib import Path

import click

from cds_service.cli_ehr_options import secret_in
from cds_service.cli_installation import data_option, master_key_file, named_ehr, now, open_ledger
from cds_service.domain.archive_credential import AccessKind
from cds_service.errors import RegistrationRefused
from cds_service.usecases import archive_credentials
from cds_service.usecases.archive_credentials import Access


@click.group()
def archive() -> None:
    """Let Sightline in at archives that ask for credentials."""


@archive.command()
@click.argument("ehr_name", metavar="EHR")
@click.argument("base", metavar="URL")
@click.option("--basic", "user", metavar="USER", help="A user; the secret is the password.")
@click.option("--bearer", is_flag=True, help="The secret is a token that stays the same.")
@click.option(
    "--client-credentials",
    "client",
    nargs=2,
    metavar="TOKEN_URL CLIENT_ID",
    help="Ask there for tokens (OAuth 2.0); the secret is the client's.",
)
@click.option("--scope", default="", help="Of these tokens, where the token endpoint wants one.")
@click.option("--remove", is_flag=True, help="Forget the credentials of this address.")
@click.option(
    "--secret-file",
    type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path),
    help="Holds the secret; without it, it is asked for, or read from standard input.",
)
@data_option
def credential(
    ehr_name: str,
    base: str,
    user: str | None,
    bearer: bool,
    client: tuple[str, str] | None,
    scope: str,
    remove: bool,
    secret_file: Path | None,
    data: Path | None,
) -> None:
    """Set what is sent to an archive or a change feed.

    The registration of EHR names its URL (sightline ehr show EHR). What is set takes the place of
    the token of the EHR, at once. The secret is kept sealed and never shown again.
    """
    from cds_service.adapters.egress import Egress
    from cds_service.adapters.ledger import SqlAuditLog, SqlTenants
    from cds_service.adapters.vault import Vault, load_or_create_key

    if [user is not None, bearer, client is not None, remove].count(True) != 1:
        raise RegistrationRefused(
            "Say one of --basic, --bearer, --client-credentials and --remove."
        )
    if scope and client is None:
        raise RegistrationRefused("--scope is for --client-credentials.")
    engine = open_ledger(data)
    register, audit = SqlTenants(engine), SqlAuditLog(engine)
    tenant = named_ehr(ehr_name, register.all())
    if remove:
        archive_credentials.remove_archive_credential(
            tenant, base, register=register, audit=audit, clock=now
        )
        click.echo(f"{tenant.name}: the credentials for {base} are gone.")
        return
    made = archive_credentials.set_archive_credential(
        tenant,
        base,
        _access(user, client, scope, _secret(secret_file)),
        register=register,
        vault=Vault(load_or_create_key(master_key_file(data))),
        is_inside=Egress().is_inside,
        audit=audit,
        clock=now,
    )
    click.echo(f"{tenant.name}: {made.kind.value} credentials for {made.base} are set.")


def _access(user: str | None, client: tuple[str, str] | None, scope: str, secret: str) -> Access:
    if user is not None:
        return Access(AccessKind.BASIC, secret, user)
    if client is not None:
        token_url, client_id = client
        return Access(AccessKind.CLIENT_CREDENTIALS, secret, client_id, token_url, scope)
    return Access(AccessKind.BEARER, secret)


def _secret(file: Path | None) -> str:
    """Read the secret; a person at a terminal is asked, and what is typed is not shown."""
    if file is None and sys.stdin.isatty():
        return str(click.prompt("Secret", hide_input=True, err=True))
    return secret_in(file or Path("-"))
