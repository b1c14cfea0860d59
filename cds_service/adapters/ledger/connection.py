"""The ledger's engine, its kinds of transaction and its clock.

SQLite runs in WAL mode: readers never wait, and one writer at a time takes the lock when its
transaction begins, so that no transaction fails half-way on a lock. What a hook writes is single
statements: the lock is then held inside SQLite alone, never while Python waits for its turn.

Source: SQLite "Write-Ahead Logging", "PRAGMA busy_timeout"; architecture "ledger is SQL".
"""

import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import ArgumentError, OperationalError, SQLAlchemyError

from cds_service.adapters.ledger.schema import UtcTime
from cds_service.errors import LedgerUnavailable, SettingsInvalid
from cds_service.usecases.ports import Clock

BUSY_TIMEOUT_MS = 2000  # how long a SQLite writer waits for its turn; our writes take about 1 ms
HURRIED_MS = 20  # the same with no time left: others' writes are over by then
POOL_TIMEOUT_S = 2
# libpq's own are none: a host that vanished would hold a hook until TCP gives up, after minutes.
POSTGRESQL_LIMITS = {"connect_timeout": 2, "tcp_user_timeout": 5000}  # s, ms
DRIVERS = {"sqlite": "sqlite+pysqlite", "postgresql": "postgresql+psycopg"}

# When whoever waits for an answer is gone, on the monotonic clock; None: nobody waits.
_until: ContextVar[float | None] = ContextVar("until", default=None)

LedgerClock = Callable[[Connection], datetime]


def connect(url: str) -> Engine:
    """Return an engine for the ledger; nothing is opened yet.

    url     SQLAlchemy URL of SQLite or PostgreSQL, whatever driver it names

    Raises SettingsInvalid. Make one engine per process, after any fork.
    """
    engine = _engine(url)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Let writers of this thread wait for SQLite's lock no longer than this, until the block ends.

    Then they raise LedgerUnavailable: a hook answers in time also when somebody holds the ledger.
    """
    token = _until.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Read from one snapshot; every failure becomes LedgerUnavailable."""
    with _connected(engine) as connection:
        if engine.dialect.name == "postgresql":  # each statement would see a moment of its own
            connection.execution_options(isolation_level="REPEATABLE READ")
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Write in one transaction, committed at the end; every failure becomes LedgerUnavailable."""
    with (
        _connected(engine) as connection,
        connection.execution_options(sightline_writes=True).begin(),
    ):
        yield connection


@contextmanager
def appending(engine: Engine) -> Iterator[Connection]:
    """Write with single statements, in SQLite each committed by itself; fails as `writing`.

    With a transaction around it the lock was held while Python took turns with its other threads
    and a busy machine's other processes: at 50 hooks/s beside two busy loops the three writes of a
    hook took 1.2 s and more at p99, and some gave up; without, 0.04 to 0.24 s (2 cores shared with
    other work, 2026-11-23).
    """
    with (
        _connected(engine) as connection,
        connection.execution_options(sightline_appends=True).begin(),
    ):
        yield connection


def insert_if_new(connection: Connection, table: sa.Table, **values: object) -> bool:
    """Insert the row unless one has its key already; return whether it was inserted."""
    # ON CONFLICT is the same in both dialects, but SQLAlchemy has it in each of them only.
    insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
    statement = insert(table).values(values).on_conflict_do_nothing()
    # Without this option SQLAlchemy promises a row count for UPDATE and DELETE only.
    inserted = connection.execute(statement, execution_options={"preserve_rowcount": True})
    return inserted.rowcount == 1


def ledger_clock(clock: Clock | None) -> LedgerClock:
    """Return the clock that decides about leases: the database's own, or `clock` in tests."""
    return _database_time if clock is None else lambda _connection: clock()


def _database_time(connection: Connection) -> datetime:
    text = {
        "sqlite": "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now') AS now",  # to the millisecond
        "postgresql": "SELECT clock_timestamp() AS now",  # not now(): that is the BEGIN's time
    }[connection.dialect.name]
    now: datetime = connection.execute(sa.text(text).columns(now=UtcTime)).scalar_one()
    return now


def _engine(url: str) -> Engine:
    try:
        address = sa.make_url(url)
    except ArgumentError:
        raise SettingsInvalid("SIGHTLINE_DATABASE_URL is not a SQLAlchemy database URL.") from None
    backend = address.get_backend_name()
    if backend not in DRIVERS:
        raise SettingsInvalid("SIGHTLINE_DATABASE_URL names neither SQLite nor PostgreSQL.")
    try:
        return sa.create_engine(
            address.set(drivername=DRIVERS[backend]),
            connect_args=POSTGRESQL_LIMITS if backend == "postgresql" else {},
            pool_timeout=POOL_TIMEOUT_S,
            pool_pre_ping=backend == "postgresql",  # a server may have closed it; a file cannot
            hide_parameters=True,  # parameters are patients' data; errors must not show them
            json_serializer=_compact_json,
        )
    except ImportError:
        raise SettingsInvalid(
            "SIGHTLINE_DATABASE_URL names PostgreSQL, whose driver is not installed: "
            "install the extra `postgres`."
        ) from None


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    try:
        try:
            connection = engine.connect()
        except OperationalError:
            raise LedgerUnavailable(
                "The ledger cannot be reached: its database must run and let this account in."
            ) from None
        with connection:
            yield connection
    except SQLAlchemyError as error:
        # The driver's text may quote a row, so only the class goes on.
        raise LedgerUnavailable(
            f"The ledger cannot be used now ({type(error).__name__})."
        ) from None


def _compact_json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # BEGIN is ours, see _begin_sqlite
    for pragma in (
        f"busy_timeout = {BUSY_TIMEOUT_MS}",  # until a writer sets its own
        "journal_mode = WAL",
        "synchronous = NORMAL",  # a power cut may lose the last commits, never corrupts
        "foreign_keys = ON",
    ):
        connection.execute(f"PRAGMA {pragma}").close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes gets SQLITE_BUSY at once when another
    # writer was faster, whatever busy_timeout says; IMMEDIATE waits for its turn first.
    options = connection.get_execution_options()
    appends, writes = options.get("sightline_appends"), options.get("sightline_writes")
    if appends or writes:
        cursor = connection.connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {_busy_timeout_ms()}")
        cursor.close()
    if not appends:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN DEFERRED")


def _busy_timeout_ms() -> int:
    until = _until.get()
    if until is None:
        return BUSY_TIMEOUT_MS
    left_ms = round((until - time.monotonic()) * 1000)
    return min(max(left_ms, HURRIED_MS), BUSY_TIMEOUT_MS)
