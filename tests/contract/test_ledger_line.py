"""Whose turn it is: the same on the fake, SQLite and PostgreSQL, found by an index."""

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import line, upgrade
from cds_service.adapters.ledger.line import heads_of_line
from cds_service.domain.job import Job, JobStep
from cds_service.domain.line import Priority
from tests.builders import NOW, a_patient, a_result, a_study
from tests.contract.ledgers import (
    Ledger,
    fake_ledger,
    opened,
    postgresql_schema,
    sql_ledger,
    sqlite_url,
)

ROUTINE, ASKED, CRITICAL = Priority.ROUTINE, Priority.ASKED, Priority.CRITICAL


def asked(
    ledger: Ledger, key: str, tenant_id: str = "t-1", priority: Priority = ASKED, wait_s: float = 1
) -> Job:
    study = a_study(tenant_id=tenant_id, study_uid=f"1.2.{abs(hash(key)) % 10**9}")
    job, _ = ledger.jobs.open(key, study, a_patient(), "model", priority=priority)
    ledger.clock.advance(wait_s)
    return job


def taken(ledger: Ledger, rung: Job) -> str | None:
    """Take the next one at the ring for `rung`; return the dispatch key."""
    ledger.clock.advance(1)
    lease = ledger.jobs.take_in_turn(rung.id, "worker")
    return None if lease is None else lease.job.dispatch_key


def test_the_critical_job_is_taken_at_the_ring_for_another(ledger: Ledger) -> None:
    routine = asked(ledger, "routine", priority=ROUTINE)
    opened_chart = asked(ledger, "asked")
    critical = asked(ledger, "critical", priority=CRITICAL)

    keys = [taken(ledger, rung) for rung in (routine, opened_chart, critical, critical)]

    assert keys == ["critical", "asked", "routine", None]


def test_ehrs_are_served_in_turn(ledger: Ledger) -> None:
    flood = [asked(ledger, f"a{n}", "a") for n in range(4)]
    asked(ledger, "b0", "b")
    asked(ledger, "b1", "b")

    assert [taken(ledger, flood[0]) for _ in range(6)] == ["a0", "b0", "a1", "b1", "a2", "a3"]


def test_a_routine_job_that_waited_long_enough_goes_before_a_new_critical_one(
    ledger: Ledger,
) -> None:
    asked(ledger, "routine", priority=ROUTINE, wait_s=ROUTINE.patience.total_seconds())
    ledger.clock.advance(1)
    critical = asked(ledger, "critical", priority=CRITICAL)

    assert taken(ledger, critical) == "routine"


def test_a_job_opened_again_has_the_priority_of_who_asked_last(ledger: Ledger) -> None:
    job = asked(ledger, "again", priority=ROUTINE)
    lease = ledger.jobs.take(job.id, "worker")
    assert lease is not None
    ledger.jobs.give_up(lease, "ArchiveRefused", retry=False)
    other = asked(ledger, "other")

    asked(ledger, "again", priority=CRITICAL)

    assert taken(ledger, other) == "again"


def test_a_routine_job_that_somebody_asks_for_goes_before_the_routine_ones(ledger: Ledger) -> None:
    first, second = (asked(ledger, key, priority=ROUTINE) for key in ("first", "second"))

    asked(ledger, "second")

    assert [ledger.jobs.wait_for(one).before for one in (second, first)] == [0, 1]
    assert ledger.jobs.get(second.id).priority is ASKED
    assert [taken(ledger, first), taken(ledger, first)] == ["second", "first"]


def test_a_job_that_is_asked_for_less_urgently_stays_as_it_is(ledger: Ledger) -> None:
    critical = asked(ledger, "critical", priority=CRITICAL)
    chart = asked(ledger, "chart")

    asked(ledger, "critical", priority=ROUTINE)
    ledger.jobs.hasten([critical.id], ASKED)

    assert ledger.jobs.get(critical.id).priority is CRITICAL
    assert [taken(ledger, chart), taken(ledger, chart)] == ["critical", "chart"]


def test_asking_again_and_again_does_not_put_a_job_off(ledger: Ledger) -> None:
    old = asked(ledger, "old", wait_s=ASKED.patience.total_seconds() - 1)
    asked(ledger, "old", wait_s=2)
    ledger.jobs.hasten([old.id], ASKED)

    critical = asked(ledger, "critical", priority=CRITICAL)

    assert taken(ledger, critical) == "old"


def test_a_hastened_job_is_due_as_soon_as_one_that_was_asked_for_then(ledger: Ledger) -> None:
    chart = asked(ledger, "chart", priority=ROUTINE)
    ledger.jobs.hasten([chart.id, "no such job"], ASKED)
    ledger.clock.advance(ASKED.patience.total_seconds() + 1)

    critical = asked(ledger, "critical", priority=CRITICAL)

    assert taken(ledger, critical) == "chart"


def test_only_what_is_still_to_be_done_is_hastened(ledger: Ledger) -> None:
    job = asked(ledger, "over", priority=ROUTINE)
    lease = ledger.jobs.take(job.id, "worker")
    assert lease is not None
    ledger.jobs.give_up(lease, "ArchiveRefused", retry=False)

    ledger.jobs.hasten([job.id], ASKED)

    assert ledger.jobs.get(job.id).priority is ROUTINE


def test_a_job_that_was_sent_back_waits_for_the_sweep(ledger: Ledger) -> None:
    lease = ledger.jobs.take(asked(ledger, "sent back").id, "worker")
    assert lease is not None
    ledger.jobs.give_up(lease, "ArchiveFailed", retry=True)
    other = asked(ledger, "other")

    assert [taken(ledger, other), taken(ledger, other)] == ["other", None]
    assert ledger.jobs.reclaim() == [lease.job.id]
    assert taken(ledger, other) == "sent back"


def test_a_write_back_that_waits_for_its_ehr_is_not_taken_before_its_time(ledger: Ledger) -> None:
    lease = ledger.jobs.take(asked(ledger, "publishing").id, "worker")
    assert lease is not None
    ledger.jobs.give_up(ledger.jobs.advance(lease, JobStep.PUBLISHING), "EhrTimedOut", retry=True)
    other = asked(ledger, "other")

    assert [taken(ledger, other), taken(ledger, other)] == ["other", None]


def test_the_job_that_was_rung_for_is_taken_though_its_ring_was_thought_lost(
    ledger: Ledger,
) -> None:
    job = asked(ledger, "unheard")
    ledger.jobs.unrung([job.id])

    assert taken(ledger, job) == "unheard"


def test_the_place_in_the_line_is_the_order_in_which_jobs_are_taken(ledger: Ledger) -> None:
    lease = ledger.jobs.take(asked(ledger, "done").id, "worker")
    assert lease is not None
    ledger.clock.advance(3)
    ledger.jobs.finish(lease, ledger.results.save(a_result(), lease).id)
    jobs = [asked(ledger, f"a{n}", "a", ROUTINE) for n in range(3)]
    jobs += [asked(ledger, "b0", "b", ROUTINE), asked(ledger, "c", "c", CRITICAL)]

    foreseen = sorted(jobs, key=lambda job: ledger.jobs.wait_for(job).before)
    before = [ledger.jobs.wait_for(job).before for job in foreseen]
    order = [taken(ledger, jobs[0]) for _ in jobs]

    assert before == [0, 1, 2, 3, 4]
    assert order == [job.dispatch_key for job in foreseen]
    assert order[0] == "c"


def test_a_place_is_told_of_one_moment_though_the_job_is_taken_meanwhile(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(database_url) as engine:
        upgrade(engine)
        ledger = sql_ledger(engine)
        job = asked(ledger, "first")
        count = line._number

        def taken_first(of: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
            ledger.jobs.take(job.id, "another worker")
            return count(of)

        monkeypatch.setattr(line, "_number", taken_first)

        assert ledger.jobs.wait_for(job).before == 0
        assert ledger.jobs.take(job.id, "worker") is None


def test_a_job_in_work_is_before_the_first_in_the_line(ledger: Ledger) -> None:
    first, second = asked(ledger, "first"), asked(ledger, "second")
    assert taken(ledger, first) == "first"

    assert ledger.jobs.wait_for(second).before == 1
    assert ledger.jobs.wait_for(first).before == 0


ASKS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(list(Priority)), st.integers(0, 400)),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=15,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(ASKS)
def test_sql_takes_jobs_in_the_order_of_the_domain_and_foresees_it(
    tmp_path_factory: pytest.TempPathFactory, asks: list[tuple[str, Priority, int]]
) -> None:
    def keys(ledger: Ledger) -> list[str | int | None]:
        # The fraction keeps two jobs from being due at one moment.
        jobs = [
            asked(ledger, f"job-{n}", tenant_id, priority, wait_s + 0.013)
            for n, (tenant_id, priority, wait_s) in enumerate(asks)
        ]
        order: list[str | int | None] = []
        for job in jobs:
            order += [ledger.jobs.wait_for(one).before for one in jobs]
            order.append(taken(ledger, job))
            ledger.clock.advance(7)
        return order

    with opened(sqlite_url(tmp_path_factory.mktemp("line"))) as engine:
        upgrade(engine)
        by_sql = keys(sql_ledger(engine))

    assert None not in by_sql
    assert by_sql == keys(fake_ledger())


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Engine]:
    with opened(sqlite_url(tmp_path)) as engine:
        upgrade(engine)
        yield engine


def test_sqlite_finds_the_next_job_by_indexes(sqlite: Engine) -> None:
    statement = heads_of_line(NOW + timedelta(0), with_job="x")
    text = str(statement.compile(sqlite, compile_kwargs={"literal_binds": True}))

    with sqlite.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}")]

    of_jobs = [step for step in plan if re.search(r"\b(job|other)\b", step)]
    assert of_jobs and all("COVERING INDEX ix_job_line" in step for step in of_jobs), plan
    assert any("(tenant_id=? AND priority=?)" in step for step in of_jobs), plan
    assert not any("ORDER BY" in step for step in plan), plan


@pytest.fixture
def postgresql(postgresql_address: str) -> Iterator[Engine]:
    with postgresql_schema(postgresql_address) as url, opened(url) as engine:
        upgrade(engine)
        yield engine


@pytest.mark.real
def test_postgresql_finds_the_next_job_by_indexes(postgresql: Engine) -> None:
    ledger = sql_ledger(postgresql)
    asked(ledger, "open")
    with postgresql.begin() as connection:  # a year of jobs that are done
        connection.exec_driver_sql(
            "INSERT INTO job (id, dispatch_key, tenant_id, patient_id, study_uid, study, model_id,"
            " state, step, attempts, crashes, token, priority, due_at, created_at, started_at,"
            " updated_at) SELECT 'j' || n, 'k' || n, 't-' || mod(n, 20), 'p', '1', '{}', 'm',"
            " 'done', 'done', 1, 0, 1, 1, now(), now() - n * interval '1 minute',"
            " now() - n * interval '1 minute', now() FROM generate_series(1, 20000) n"
        )
        connection.exec_driver_sql("ANALYZE job")
        statement = heads_of_line(NOW + timedelta(days=1), with_job="x")
        plan = str(statement.compile(postgresql, compile_kwargs={"literal_binds": True}))
        rows = connection.exec_driver_sql("EXPLAIN " + plan.replace("%", "%%")).scalars().all()

    assert not any("Seq Scan on job" in row for row in rows), rows
    assert any("ix_job_line" in row for row in rows), rows
