"""Bring a ledger to this version's tables, or say why that cannot be.

Source: Alembic "Sharing a Connection across one or more programmatic migration commands".
"""

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from cds_service.adapters.ledger.connection import reading, writing
from cds_service.errors import LedgerUnavailable, SettingsInvalid

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
_LOCK = 7_316_842_905  # any fixed number: PostgreSQL's advisory lock of the upgrade


def upgrade(engine: Engine) -> None:
    """Bring the ledger to the newest tables; nothing happens when it has them.

    One transaction: several processes may call it, and the second one finds it done.
    A new SQLite file is for this user only. Raises SettingsInvalid when the ledger is of a newer
    Sightline, LedgerUnavailable.
    """
    from alembic import command  # 10 MB that no process needs later
    from alembic.config import Config

    _make_private_file(engine)
    with writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
        _refuse_newer(connection)
        configuration = Config()
        # ConfigParser reads % as an interpolation.
        configuration.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        configuration.attributes["connection"] = connection
        command.upgrade(configuration, "head")


def check(engine: Engine) -> None:
    """Raise SettingsInvalid unless the ledger is exactly of this version; LedgerUnavailable."""
    with reading(engine) as connection:
        _refuse_newer(connection)
        if _revision(connection) != revisions()[-1]:
            raise SettingsInvalid(
                "The ledger (SIGHTLINE_DATABASE_URL) has not been brought to this version of "
                "Sightline yet: run `sightline upgrade` before starting this process."
            )


def _make_private_file(engine: Engine) -> None:
    """Make the SQLite file with mode 0600; its journals get the mode of the file."""
    if engine.dialect.name != "sqlite" or engine.url.database is None:
        return
    try:
        Path(engine.url.database).touch(mode=0o600)
    except OSError as error:
        raise LedgerUnavailable(f"The ledger cannot be made ({error.strerror}).") from None


def revisions() -> list[str]:
    """Return every revision of the tables that this version knows, the newest last."""
    return sorted(path.name[:4] for path in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _refuse_newer(connection: Connection) -> None:
    revision = _revision(connection)
    if revision is not None and revision not in revisions():
        raise SettingsInvalid(
            f"The ledger was written by a newer Sightline (its revision {revision} is unknown "
            "here): install that version, or name another data folder."
        )


def _revision(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    stored = sa.select(sa.column("version_num", sa.String)).select_from(sa.table("alembic_version"))
    return connection.execute(stored).scalar_one_or_none()
