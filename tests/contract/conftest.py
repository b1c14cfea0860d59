"""Fixtures of the contract tests: each ledger test runs on the fake and on real databases."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import connection, upgrade
from tests.contract.ledgers import (
    Ledger,
    fake_ledger,
    opened,
    postgresql_schema,
    postgresql_server,
    sql_ledger,
    sqlite_url,
)

LONG_MS = 60_000
DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.real)]


@pytest.fixture(autouse=True)
def a_slow_disk_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a SQLite writer wait for its turn as long as a busy machine may need."""
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", LONG_MS)


@pytest.fixture(scope="session")
def postgresql_address() -> Iterator[str]:
    """A PostgreSQL server for the whole run."""
    with postgresql_server() as address:
        yield address


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database."""
    with _empty_database(request, tmp_path) as url:
        yield url


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A database with the newest tables."""
    with opened(database_url) as engine:
        upgrade(engine)
        yield engine


@pytest.fixture(params=["fake", *DATABASES])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ledger]:
    """Every port of an empty ledger."""
    if request.param == "fake":
        yield fake_ledger()
        return
    with _empty_database(request, tmp_path) as url, opened(url) as engine:
        upgrade(engine)
        yield sql_ledger(engine)


@contextmanager
def _empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield sqlite_url(tmp_path)
        return
    with postgresql_schema(request.getfixturevalue("postgresql_address")) as url:
        yield url
