"""Several processes at once, on the databases' own clocks; and what a failure says."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import TypeVar

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError

from cds_service.adapters.ledger import SqlJobs, SqlReplays, SqlTenants, upgrade
from cds_service.adapters.ledger.connection import writing
from cds_service.adapters.ledger.schema import job as job_table
from cds_service.adapters.vault import Vault
from cds_service.domain.job import JobState, JobStep
from cds_service.errors import LeaseLost, LedgerUnavailable, SightlineError
from tests.builders import NOW, a_patient, a_study, a_tenant
from tests.contract.ledgers import opened
from tests.fakes.ledger import FakeClock
from tests.real.servers import free_port

KEY = os.urandom(32)
PROCESSES = 6
T = TypeVar("T")


@pytest.fixture
def engines(database_url: str) -> Iterator[list[Engine]]:
    """One engine per process that the test plays."""
    with opened(database_url) as first:
        upgrade(first)
        others = [opened(database_url) for _ in range(PROCESSES - 1)]
        engines = [first, *(other.__enter__() for other in others)]
        yield engines
        for other in others:
            other.__exit__(None, None, None)


def all_at_once(engines: list[Engine], act: Callable[[Engine], T]) -> list[T]:
    barrier = Barrier(len(engines))

    def start(engine: Engine) -> T:
        barrier.wait()
        return act(engine)

    with ThreadPoolExecutor(len(engines)) as pool:
        return list(pool.map(start, engines))


def jobs_on(engine: Engine, clock: FakeClock | None = None, lease_s: int = 20) -> SqlJobs:
    return SqlJobs(engine, Vault(KEY), lease_s=lease_s, attempts=3, clock=clock)


def test_hooks_that_ask_at_once_make_one_job(engines: list[Engine]) -> None:
    opened_jobs = all_at_once(
        engines, lambda engine: jobs_on(engine).open("key", a_study(), a_patient(), "model")
    )

    assert len({job.id for job, _ in opened_jobs}) == 1
    assert [made for _, made in opened_jobs].count(True) == 1


def test_workers_that_ring_at_once_get_one_lease(engines: list[Engine]) -> None:
    job, _ = jobs_on(engines[0]).open("key", a_study(), a_patient(), "model")

    leases = all_at_once(engines, lambda engine: jobs_on(engine).take(job.id, "worker"))

    assert len([lease for lease in leases if lease is not None]) == 1
    assert jobs_on(engines[0]).get(job.id).attempts == 1


@pytest.mark.parametrize("crashes", [0, 5])
def test_supervisors_that_sweep_at_once_ring_each_job_once(
    engines: list[Engine], crashes: int
) -> None:
    clock = FakeClock()
    jobs = jobs_on(engines[0], clock)
    opened_ids = {
        jobs.open(f"key-{number}", a_study(), a_patient(), "model")[0].id for number in range(20)
    }
    crashed = sorted(opened_ids)[:crashes]
    for job_id in crashed:
        jobs.take(job_id, "worker")
    clock.advance(60)

    swept = all_at_once(engines, lambda engine: jobs_on(engine, clock).reclaim())

    rung = [job_id for ids in swept for job_id in ids]
    assert len(rung) == len(set(rung)) and set(rung) == opened_ids
    with engines[0].connect() as connection:
        counted = connection.execute(
            sa.select(job_table.c.crashes).where(job_table.c.id.in_(crashed))
        )
        assert counted.scalars().all() == [1] * crashes


def test_a_sweep_that_waited_for_another_one_rings_nothing(engine: Engine) -> None:
    clock = FakeClock()
    jobs = jobs_on(engine, clock)
    jobs.open("key", a_study(), a_patient(), "model")
    clock.advance(60)

    with ThreadPoolExecutor(1) as pool, writing(engine) as other:
        other.execute(sa.update(job_table).values(rung_at=clock.now))
        waiting = pool.submit(jobs.reclaim)
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        other.commit()
        assert waiting.result() == []


def test_a_jti_sent_to_all_processes_at_once_is_used_once(engines: list[Engine]) -> None:
    used = all_at_once(
        engines, lambda engine: SqlReplays(engine).use_once("iss", "jti", datetime.now(UTC))
    )

    assert used.count(True) == 1


# --- the database's own clock ---


def test_a_lease_ends_by_the_ledgers_clock_and_not_before(engine: Engine) -> None:
    jobs = jobs_on(engine, lease_s=3)  # so long that the second take comes in time
    job, _ = jobs.open("key", a_study(), a_patient(), "model")
    before = datetime.now(UTC)
    lease = jobs.take(job.id, "worker-1")
    assert lease is not None

    assert 2.9 < (lease.expires_at - before).total_seconds() < 60
    assert jobs.take(job.id, "worker-2") is None
    deadline = time.monotonic() + 60
    while (second := jobs.take(job.id, "worker-2")) is None and time.monotonic() < deadline:
        time.sleep(0.05)

    assert second is not None and second.token == lease.token + 1
    assert lease.expires_at <= datetime.now(UTC)
    with pytest.raises(LeaseLost):
        jobs.advance(lease, JobStep.READING)


def test_the_ledgers_clock_has_fractions_of_a_second(engine: Engine) -> None:
    jobs = jobs_on(engine)

    times = {
        jobs.open(f"key-{number}", a_study(), a_patient(), "model")[0].created_at.microsecond
        for number in range(5)
    }

    assert times != {0}


# --- what stays in the ledger, and what an error says ---


def test_the_patients_facts_are_sealed_and_gone_when_the_job_is_over(engine: Engine) -> None:
    jobs = jobs_on(engine)
    job, _ = jobs.open("key", a_study(), a_patient(identifiers=("CANARY-1",)), "model")

    def stored() -> list[object]:
        with engine.connect() as connection:
            return list(connection.execute(sa.select(job_table)).one())

    assert b"CANARY-1" not in repr(stored()).encode() and any(
        isinstance(value, bytes) for value in stored()
    )
    lease = jobs.take(job.id, "worker")
    assert lease is not None
    jobs.give_up(lease, "ArchiveRefused", retry=False)
    assert not any(isinstance(value, bytes) for value in stored())


def test_facts_that_cannot_be_opened_leave_the_job_to_a_worker_with_the_right_key(
    engine: Engine,
) -> None:
    jobs = jobs_on(engine)
    job, _ = jobs.open("key", a_study(), a_patient(), "model")
    stranger = SqlJobs(engine, Vault(os.urandom(32)), lease_s=20, attempts=3)

    with pytest.raises(SightlineError):
        stranger.take(job.id, "worker-1")

    assert jobs.get(job.id).state is JobState.OPEN
    assert jobs.take(job.id, "worker-2") is not None


@pytest.mark.real
def test_a_ledger_that_is_away_is_unavailable_and_quotes_nothing() -> None:
    url = f"postgresql://sightline@127.0.0.1:{free_port()}/postgres?connect_timeout=2"
    with opened(url) as engine, pytest.raises(LedgerUnavailable) as caught:
        SqlTenants(engine).all()

    assert str(caught.value) == (
        "The ledger cannot be reached: its database must run and let this account in."
    )
    assert caught.value.__suppress_context__


def test_a_commit_that_fails_is_not_told_as_a_database_that_is_away(engine: Engine) -> None:
    def fail(_connection: Connection) -> None:
        raise OperationalError(None, None, Exception("a row"))  # as SQLAlchemy does at a commit

    sa.event.listen(engine, "commit", fail, once=True)

    with pytest.raises(LedgerUnavailable) as caught, writing(engine):
        pass

    assert str(caught.value) == "The ledger cannot be used now (OperationalError)."


@pytest.mark.slow
def test_a_postgresql_that_accepts_and_says_nothing_is_unavailable_in_time() -> None:
    pytest.importorskip("psycopg", reason="sightline[postgres] is not installed")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"postgresql://sightline@127.0.0.1:{mute.getsockname()[1]}/sightline"
        begun = time.monotonic()

        with opened(address) as engine, pytest.raises(LedgerUnavailable):
            SqlTenants(engine).all()

    assert time.monotonic() - begun < 60  # without our limits it is never


def test_an_error_never_quotes_the_row(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE tenant"))

    with pytest.raises(LedgerUnavailable) as caught:
        SqlTenants(engine).add(a_tenant(name="CANARY"))

    assert "CANARY" not in str(caught.value) + repr(caught.value.__context__)


def test_a_naive_time_is_refused(engine: Engine) -> None:
    with pytest.raises(LedgerUnavailable):
        SqlReplays(engine).use_once("iss", "jti", NOW.replace(tzinfo=None))
