"""How long a writer of SQLite waits for its turn, and for how long it keeps others waiting."""

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import connection as connections
from cds_service.adapters.ledger import upgrade, within
from cds_service.adapters.ledger.connection import HURRIED_MS, appending, writing
from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.card import ShownCard
from cds_service.errors import LedgerUnavailable
from tests.builders import NOW
from tests.contract.ledgers import Ledger, opened, sql_ledger, sqlite_url


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    with opened(sqlite_url(tmp_path)) as engine:
        upgrade(engine)
        yield engine


def patience_ms(engine: Engine) -> int:
    with appending(engine) as connection:
        return int(connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one())


def test_a_writer_waits_no_longer_than_whoever_waits_for_it(sqlite: Engine) -> None:
    usual_ms = connections.BUSY_TIMEOUT_MS

    assert patience_ms(sqlite) == usual_ms
    with within(0.4):
        assert HURRIED_MS <= patience_ms(sqlite) <= 400
    with within(-1.0):
        assert patience_ms(sqlite) == HURRIED_MS
    with within(3600.0):
        assert patience_ms(sqlite) == usual_ms
    assert patience_ms(sqlite) == usual_ms


def test_a_ledger_that_another_holds_is_unavailable_until_it_lets_go(sqlite: Engine) -> None:
    ledger = sql_ledger(sqlite)
    until = NOW + timedelta(minutes=5)

    with writing(sqlite), within(0.0), pytest.raises(LedgerUnavailable):
        ledger.replays.use_once("iss", "jti", until)

    assert ledger.replays.use_once("iss", "jti", until)


def what_a_hook_writes(ledger: Ledger) -> None:
    ledger.replays.use_once("iss", str(time.monotonic_ns()), NOW + timedelta(minutes=5))
    ledger.cards.shown("t", ShownCard(str(time.monotonic_ns())))
    ledger.audit.record(AuditEvent(AuditAction.HOOK_ANSWERED, NOW, "t", "client", "success"))


def test_a_hook_holds_the_lock_within_single_statements_only(sqlite: Engine) -> None:
    begun: list[str] = []
    event.listen(
        sqlite,
        "before_cursor_execute",
        lambda _connection, _cursor, text, *_: begun.append(text.split()[0]),
    )

    what_a_hook_writes(sql_ledger(sqlite))

    assert [word for word in begun if word != "SELECT"] == ["INSERT"] * 3
