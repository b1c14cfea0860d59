"""What a hook asks of the ledger is one statement each, found by an index."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import upgrade
from cds_service.domain.card import ShownCard
from tests.builders import NOW
from tests.contract.ledgers import Ledger, opened, sql_ledger, sqlite_url

Statement = tuple[str, object]

# Feedback by the tenant alone would be all that a site ever reported.
BY_INDEX = re.compile(r"(?!.*feedback.*\(tenant_id=\?\)$).*USING (COVERING )?INDEX ")


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    with opened(sqlite_url(tmp_path)) as engine:
        upgrade(engine)
        yield engine


@contextmanager
def recorded(engine: Engine) -> Iterator[list[Statement]]:
    statements: list[Statement] = []

    def note(_connection: object, _cursor: object, text: str, values: object, *_: object) -> None:
        if not text.startswith("BEGIN"):
            statements.append((text, values))

    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


READS: dict[str, Callable[[Ledger], object]] = {
    "results of these studies": lambda ledger: ledger.results.of_models("t", "p", ["1", "2"]),
    "jobs of these studies": lambda ledger: ledger.jobs.of_models("t", "p", ["1", "2"]),
    "alert policies": lambda ledger: ledger.alerts.policies("t"),
    "reactions to these results": lambda ledger: ledger.alerts.reactions("t", ["1", "2"]),
    "all tenants": lambda ledger: ledger.tenants.all(),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_read_of_the_hook_path_is_one_indexed_statement(
    sqlite: Engine, read: Callable[[Ledger], object]
) -> None:
    ledger = sql_ledger(sqlite)

    with recorded(sqlite) as statements:
        read(ledger)

    assert len(statements) == 1
    text, values = statements[0]
    with sqlite.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()  # type: ignore[arg-type]
    looked_up = [row.detail for row in plan if row.detail.startswith(("SCAN", "SEARCH"))]
    assert looked_up and [one for one in looked_up if not BY_INDEX.match(one)] == []


def test_three_cards_are_remembered_in_one_transaction(sqlite: Engine) -> None:
    ledger = sql_ledger(sqlite)
    begun: list[object] = []
    event.listen(sqlite, "begin", begun.append)

    ledger.cards.shown("t", *(ShownCard(f"card-{n}") for n in range(3)))

    assert len(begun) == 1


def test_a_jti_is_noted_in_one_statement(sqlite: Engine) -> None:
    ledger = sql_ledger(sqlite)

    with recorded(sqlite) as statements:
        ledger.replays.use_once("iss", "jti", NOW + timedelta(minutes=5))

    assert [text.split()[0] for text, _ in statements] == ["INSERT"]


def test_the_sweep_does_not_read_jobs_that_are_over(sqlite: Engine) -> None:
    ledger = sql_ledger(sqlite)

    with recorded(sqlite) as statements:
        ledger.jobs.reclaim()

    with sqlite.connect() as connection:
        for text, values in statements:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)  # type: ignore[arg-type]
            assert not [row.detail for row in plan if row.detail == "SCAN job"], text


def test_readiness_reads_only_open_jobs_and_these_in_the_order_of_an_index(sqlite: Engine) -> None:
    ledger = sql_ledger(sqlite)

    with recorded(sqlite) as statements:
        ledger.waiting_jobs.oldest_wait()

    [(text, values)] = statements
    with sqlite.connect() as connection:
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values).all()  # type: ignore[arg-type]
    details = [row.detail for row in plan]
    assert any("USING INDEX ix_job_state_created_at (state=?)" in one for one in details), details
    assert not any("TEMP B-TREE" in one for one in details)


def test_a_reader_does_not_wait_for_a_writer(sqlite: Engine) -> None:
    ledger = sql_ledger(sqlite)

    with sqlite.connect() as writer:
        writer.execute(sa.text("DELETE FROM job"))
        found = ledger.results.of_models("t", "p", ["1"])

    assert found == []
