"""A hook while somebody else holds the ledger: an answer in time, and a clear one."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cds_service.adapters.ledger import connection
from cds_service.app import create_app
from tests.fuzz.installed import Installed, installed
from tests.web.ehr_client import a_hook_body


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Installed]:
    with installed(tmp_path) as one:
        yield one


@pytest.fixture
def other(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    (file,) = tmp_path.glob("data/*.sqlite")
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        yield holder


def test_a_hook_whose_ledger_is_held_by_another_is_503_and_the_next_one_is_answered(
    here: Installed, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a deadline of its own the hook would wait for this, and the test for ever.
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 3_600_000)
    other.execute("BEGIN IMMEDIATE")

    held = here.post(a_hook_body())
    other.execute("ROLLBACK")

    assert held.status_code == 503 and held.json is not None
    assert held.json["issue"][0]["code"] == "transient"
    assert here.post(a_hook_body()).status_code == 200


def test_a_process_starts_while_another_holds_the_ledger(
    here: Installed, other: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 3_600_000)
    other.execute("BEGIN IMMEDIATE")

    app = create_app(here.settings)

    assert app.test_client().get("/cds-services").status_code == 200


def test_discovery_does_not_wait_for_a_writer(here: Installed, other: sqlite3.Connection) -> None:
    other.execute("BEGIN IMMEDIATE")

    assert here.client.get("/cds-services").status_code == 200
