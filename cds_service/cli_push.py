"""`sightline intake token` and `sightline dimse`: the doors at which an archive pushes.

Source: docs/how-to/push-studies.md; DICOM PS3.18 10.5, PS3.4 B, PS3.15 B.
"""

import os
import signal
import ssl
import threading
from hashlib import sha256
from importlib.util import find_spec
from ipaddress import ip_network
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING

import click

from cds_service.cli_installation import data_option, name_option, named_ehr, now, open_ledger
from cds_service.domain.audit import AuditAction
from cds_service.domain.inbox import CredentialKind
from cds_service.domain.intake import Door
from cds_service.errors import RegistrationRefused, SettingsInvalid
from cds_service.settings import Settings
from cds_service.telemetry import configure_logging
from cds_service.usecases.note_change import note_change

if TYPE_CHECKING:  # pynetdicom loads only when a command runs
    from cds_service.adapters.dimse.listener import Caller

_AE_TITLE_LIMIT = 16  # characters; PS3.5 6.2, AE


@click.command()
@name_option
@click.option(
    "--certificate",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Accept this client certificate (PEM) instead of making a token.",
)
@click.option("--revoke", is_flag=True, help="Accept none of its tokens and certificates any more.")
@data_option
def token(name: str, certificate: Path | None, revoke: bool, data: Path | None) -> None:
    """Make a token with which an archive may push by STOW-RS.

    It is printed once; only its digest is kept.
    """
    from cds_service.adapters.ledger import SqlAuditLog, SqlPushCredentials, SqlTenants

    engine = open_ledger(data)
    tenant = named_ehr(name, SqlTenants(engine).all())
    credentials, audit = SqlPushCredentials(engine), SqlAuditLog(engine)
    if revoke:
        count = credentials.remove_all(tenant.id)
        revoked = f"{count} credentials"
        note_change(AuditAction.PUSH_REVOKED, tenant.id, revoked, audit=audit, clock=now)
        click.echo(f"{tenant.name}: {count} tokens and certificates are accepted no more.")
        return
    made = token_urlsafe(32) if certificate is None else None
    if made is None:
        kind, digest = CredentialKind.CERTIFICATE, _fingerprint(certificate)
    else:
        kind, digest = CredentialKind.TOKEN, sha256(made.encode()).hexdigest()
    if not credentials.add(tenant.id, kind, digest):
        raise RegistrationRefused("This certificate is registered already.")
    note_change(AuditAction.PUSH_ALLOWED, tenant.id, kind.value, audit=audit, clock=now)
    click.echo(made or f"{tenant.name}: the certificate with the SHA-256 {digest} may push.")
    click.echo(f"Push to /dicom-web/{tenant.id}/studies below the service's address.", err=True)


@click.command()
@name_option
@click.option(
    "--bind",
    default="127.0.0.1:11112",
    show_default=True,
    metavar="ADDRESS:PORT",
    help="One interface of this machine, by its address.",
)
@click.option("--aet", default="SIGHTLINE", show_default=True, help="Our AE title.")
@click.option(
    "--from",
    "callers",
    required=True,
    multiple=True,
    metavar="AET@NETWORK",
    help="Who may call, such as PACS@10.1.2.3 or PACS@10.1.2.0/24; several times for several.",
)
@click.option(
    "--tls-certificate",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Listen over TLS, with this certificate (PEM).",
)
@click.option(
    "--tls-key", type=click.Path(dir_okay=False, path_type=Path), help="Its private key (PEM)."
)
@click.option(
    "--tls-clients",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Certificates (PEM) that clients must show, or their authority's.",
)
@click.option(
    "--associations",
    default=8,
    show_default=True,
    type=click.IntRange(1, 100),
    help="How many may be open at a time.",
)
def dimse(
    name: str,
    bind: str,
    aet: str,
    callers: tuple[str, ...],
    tls_certificate: Path | None,
    tls_key: Path | None,
    tls_clients: Path | None,
    associations: int,
) -> None:
    """Take the images that an archive sends by C-STORE.

    Until SIGTERM, with the settings of the service (SIGHTLINE_*).
    """
    if find_spec("pynetdicom") is None:
        raise SettingsInvalid(
            "pynetdicom is not installed: install Sightline with its extra `dimse`."
        )
    from cds_service.adapters.ledger import SqlTenants
    from cds_service.wiring import dimse_listener

    settings = Settings.from_env(os.environ)
    configure_logging(settings.log_level)
    tenant = named_ehr(name, SqlTenants(open_ledger(None)).all())
    if not tenant.opened(Door.DIMSE):
        raise RegistrationRefused(
            f"The door {Door.DIMSE.value} is closed: sightline intake open --ehr NAME dimse"
        )
    try:
        listening = dimse_listener(
            settings,
            tenant,
            address_of(bind),
            _ae_title(aet),
            tuple(map(caller_of, callers)),
            tls=server_tls(tls_certificate, tls_key, tls_clients),
            associations=associations,
        )
    except OSError as error:
        raise SettingsInvalid(f"--bind {bind} cannot be had: {error.strerror}.") from None
    for number in (signal.SIGTERM, signal.SIGINT):
        # `stop` waits for `run`, which this very thread is in.
        signal.signal(number, lambda *_: threading.Thread(target=listening.stop).start())
    click.echo(f"{tenant.name}: {aet} listens on port {listening.port}", err=True)
    listening.run()


def address_of(bind: str) -> tuple[str, int]:
    """Return address and port; raise SettingsInvalid unless one interface is named."""
    host, _, port = bind.rpartition(":")
    try:
        network, number = ip_network(host.strip("[]")), int(port)
    except ValueError:
        raise SettingsInvalid(f"--bind is {bind!r}: it must be ADDRESS:PORT.") from None
    if network.network_address.is_unspecified:
        raise SettingsInvalid(
            "--bind names every interface: name the one that the archive reaches."
        )
    if not 0 <= number <= 65535:
        raise SettingsInvalid(f"--bind is {bind!r}: there is no such port.")
    return str(network.network_address), number


def caller_of(text: str) -> "Caller":
    """Return who may call; raise SettingsInvalid."""
    from cds_service.adapters.dimse.listener import Caller

    title, at, network = text.rpartition("@")
    try:
        if not at:
            raise ValueError(text)
        return Caller(_ae_title(title), str(ip_network(network)))
    except ValueError:
        raise SettingsInvalid(
            f"--from is {text!r}: it must be AET@ADDRESS or AET@NETWORK,"
            " such as PACS@10.1.2.3 or PACS@10.1.2.0/24."
        ) from None


def _ae_title(text: str) -> str:
    title = text.strip()
    if not 0 < len(title) <= _AE_TITLE_LIMIT or not title.isascii() or "\\" in title:
        raise SettingsInvalid(f"{text!r} is no AE title: it has 1 to 16 characters.")
    return title


def server_tls(
    certificate: Path | None, key: Path | None, clients: Path | None
) -> ssl.SSLContext | None:
    """Return how TLS is spoken, None for not at all; raise SettingsInvalid.

    clients   certificates that callers show, whoever issued them, or their authorities'
    """
    if certificate is None or key is None:
        if certificate or key or clients:
            raise SettingsInvalid("TLS needs both --tls-certificate and --tls-key.")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    asked = "--tls-certificate and --tls-key are no certificate (PEM) and its key"
    try:
        context.load_cert_chain(certificate, key)
        if clients is not None:
            asked = "--tls-clients holds no certificates (PEM)"
            context.load_verify_locations(clients)
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # also one without its issuer
            context.verify_mode = ssl.CERT_REQUIRED
    except OSError:  # a file that cannot be read, or TLS's own error
        raise SettingsInvalid(f"{asked}, or cannot be read.") from None
    return context


def _fingerprint(certificate: Path | None) -> str:
    from cds_service.adapters.proxy_certificate import pem_digest

    try:
        digest = None if certificate is None else pem_digest(certificate.read_bytes())
    except OSError:
        digest = None
    if digest is None:
        raise RegistrationRefused("The file of the certificate cannot be read, or it is not PEM.")
    return digest
