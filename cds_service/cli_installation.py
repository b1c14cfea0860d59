"""The installation that a command works on: by a folder or by the settings, its ledger, its EHRs.

Source: docs/reference/settings.md.
"""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cds_service.domain.tenant import Tenant
from cds_service.errors import NotFound, SettingsInvalid
from cds_service.settings import SIGNING_KEYS, Settings

if TYPE_CHECKING:  # SQLAlchemy loads only when a command runs
    from sqlalchemy import Engine

LEDGER, MASTER_KEY = "ledger.sqlite", "master.key"  # as Settings has them

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, exists=True, path_type=Path),
    help="Folder of the running service, as the demo prints it (default: SIGHTLINE_* settings).",
)

name_option = click.option(
    "--ehr", "name", required=True, metavar="NAME", help="Of the EHR, as sightline ehr list has it."
)


def named_ehr(name: str, tenants: list[Tenant]) -> Tenant:
    """Return the EHR with this name; raise NotFound, naming those that there are."""
    for tenant in tenants:
        if tenant.name == name:
            return tenant
    known = ", ".join(tenant.name for tenant in tenants) or "none"
    raise NotFound(f"No EHR is registered as {name!r}; registered: {known}.")


def master_key_file(data: Path | None) -> Path:
    """Return where the service in this folder, or of the settings, has its master key."""
    return _settings().master_key_file if data is None else data / MASTER_KEY


def open_ledger(data: Path | None) -> "Engine":
    """Open the ledger of the service in this folder, or of the settings; raise NotFound."""
    from cds_service.adapters.ledger import check, connect

    engine = connect(_settings().database_url if data is None else _sqlite(data))
    check(engine)
    return engine


def reading_settings(data: Path | None) -> Settings:
    """Return the settings, or for a folder those that reading needs: nobody is rung or answered."""
    if data is None:
        return _settings()
    nobody, ledger = "http://127.0.0.1", f"sqlite:///{data / LEDGER}"
    keys = data / MASTER_KEY, data / SIGNING_KEYS
    return Settings(nobody, data, ledger, "redis://127.0.0.1:0", *keys, data / "inbox")


def now() -> datetime:
    """Return the time of a change, for the audit log."""
    return datetime.now(UTC)


def _settings() -> Settings:
    try:
        return Settings.from_env(os.environ)
    except SettingsInvalid as error:
        raise SettingsInvalid(f"{error} Set it, or say --data DIR.") from None


def _sqlite(data: Path) -> str:
    path = data / LEDGER
    if not path.is_file():
        raise NotFound(f"There is no Sightline installation in {data}: it has no {LEDGER}.")
    return f"sqlite:///{path}"
