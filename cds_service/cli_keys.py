"""The `sightline keys` commands: which keys sign Sightline's assertions, and rotating them.

Every process reads the key file again when it has changed, so a rotation needs no restart.

Source: SMART App Launch 2.2 "Registering a client"; docs/how-to/rotate-keys.md.
"""

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from cds_service.adapters.signing_keys import KeyState, SigningKeyFile
from cds_service.cli_installation import data_option
from cds_service.settings import SIGNING_KEYS, Settings


@click.group()
def keys() -> None:
    """Show and rotate the keys that sign Sightline's own tokens."""


@keys.command("list")
@data_option
def list_keys(data: Path | None) -> None:
    """Show the published keys; nothing of it is secret.

    Algorithm, state (current, next or former), since when, and kid.
    """
    now = datetime.now(UTC)
    for key in _file(data).read():
        if not key.is_over(now):
            click.echo(
                f"{key.algorithm}  {key.state.value:<8}{key.since:%Y-%m-%d %H:%M}  {key.kid}"
            )


@keys.command()
@click.option(
    "--compromised",
    is_flag=True,
    help="A key has leaked: sign with the next ones now and withdraw the others at once.",
)
@data_option
def rotate(compromised: bool, data: Path | None) -> None:
    """Sign with the next keys and publish new next ones.

    The former ones stay published for a day. Refused while the next keys have been published for
    less than a day.
    """
    file = _file(data)
    file.rotate(datetime.now(UTC), compromised=compromised)
    for key in file.read():
        if key.state is KeyState.CURRENT:
            click.echo(f"{key.algorithm} is now signed with {key.kid}.")


def _file(data: Path | None) -> SigningKeyFile:
    if data is not None:
        return SigningKeyFile(data / SIGNING_KEYS)
    return SigningKeyFile(Settings.from_env(os.environ).signing_key_file)
