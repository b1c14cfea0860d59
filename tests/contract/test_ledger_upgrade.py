"""Upgrades: an empty database, one of this version, and one of a newer Sightline."""

import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import SqlTenants, check, connect, upgrade
from cds_service.adapters.ledger.schema import metadata
from cds_service.adapters.ledger.upgrade import MIGRATIONS, revisions
from cds_service.errors import LedgerUnavailable, SettingsInvalid
from tests.builders import a_tenant
from tests.contract.ledgers import opened, sqlite_url


@pytest.fixture
def empty(database_url: str) -> Iterator[Engine]:
    with opened(database_url) as engine:
        yield engine


def test_an_empty_database_gets_the_tables_of_the_schema(empty: Engine) -> None:
    upgrade(empty)

    check(empty)
    with empty.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []


def test_the_revisions_are_those_of_alembic_by_the_names_of_their_files() -> None:
    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS))
    scripts = ScriptDirectory.from_config(configuration).walk_revisions()

    assert revisions() == [one.revision for one in scripts][::-1]


def test_a_process_that_only_uses_the_ledger_loads_no_alembic(tmp_path: Path) -> None:
    url = sqlite_url(tmp_path)
    with opened(url) as engine:
        upgrade(engine)
    code = (
        "import sys; from cds_service.adapters.ledger import check, connect;"
        f" check(connect({url!r})); print('alembic' in sys.modules)"
    )

    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert (answer.stdout, answer.stderr) == ("False\n", "")


def test_a_second_upgrade_changes_nothing(engine: Engine) -> None:
    SqlTenants(engine).add(a_tenant())

    upgrade(engine)

    assert SqlTenants(engine).all() == [a_tenant()]


def test_a_new_sqlite_ledger_and_its_journals_are_for_its_user_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with opened(sqlite_url(tmp_path)) as engine:
            upgrade(engine)
            SqlTenants(engine).add(a_tenant())
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    finally:
        os.umask(before)

    assert modes == dict.fromkeys(
        ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"), 0o600
    )


def test_several_processes_may_upgrade_at_once(empty: Engine) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [empty] * 4))

    check(empty)


def test_a_ledger_that_was_never_upgraded_is_refused_with_a_sentence(empty: Engine) -> None:
    with pytest.raises(SettingsInvalid, match=r"SIGHTLINE_DATABASE_URL.*not been brought"):
        check(empty)


@pytest.mark.parametrize("act", [upgrade, check])
def test_a_ledger_of_a_newer_sightline_is_refused_with_a_sentence(
    engine: Engine, act: Callable[[Engine], None]
) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(SettingsInvalid, match=r"newer Sightline .*9999.*another data folder"):
        act(engine)


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(b"not a database, but long enough to look at" * 100)

    with opened(f"sqlite:///{path}") as engine, pytest.raises(LedgerUnavailable):
        check(engine)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("nonsense", "not a SQLAlchemy database URL"),
        ("mysql://host/db", "neither SQLite nor PostgreSQL"),
    ],
)
def test_an_unusable_address_is_refused_with_the_settings_name(url: str, sentence: str) -> None:
    with pytest.raises(SettingsInvalid, match=f"SIGHTLINE_DATABASE_URL.*{sentence}"):
        connect(url)


def test_postgresql_without_its_driver_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    with pytest.raises(SettingsInvalid, match="install the extra `postgres`"):
        connect("postgresql://host/db")
