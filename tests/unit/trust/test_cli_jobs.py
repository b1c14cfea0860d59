"""`sightline jobs`: what an administrator types when analyses wait or were given up."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from cds_service.adapters.ledger import SqlJobs, SqlTenants, connect, schema, upgrade
from cds_service.adapters.vault import Vault
from cds_service.cli import main
from cds_service.domain.job import Job, JobState
from cds_service.domain.line import Priority
from tests.builders import a_patient, a_study, a_tenant
from tests.fakes.ledger import FakeClock

Run = Callable[..., Result]
ASKED = Priority.ASKED


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    engine = connect(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    upgrade(engine)
    SqlTenants(engine).add(a_tenant(name="General Hospital"))
    return engine


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return lambda *words: CliRunner().invoke(main, ["jobs", *words, "--data", str(tmp_path)])


@pytest.fixture
def quarantined(engine: sa.Engine) -> Job:
    """A job that killed its worker twice."""
    clock = FakeClock()
    jobs = SqlJobs(engine, Vault(b"k" * 32), clock=clock)
    job, _ = jobs.open("key-1", a_study(), a_patient(), "model")
    for owner in ("worker-1", "worker-2"):
        assert jobs.take(job.id, owner) is not None
        clock.advance(20)
    jobs.reclaim()
    return jobs.get(job.id)


def state_of(engine: sa.Engine) -> str:
    with engine.connect() as connection:
        return str(connection.execute(sa.select(schema.job.c.state)).scalar_one())


def test_a_lost_job_is_listed_with_its_reason_and_without_its_patient(
    run: Run, quarantined: Job
) -> None:
    shown = run("list").output

    for words in (quarantined.id, "quarantined", "WorkerCrashed", "General Hospital"):
        assert words in shown
    assert "p-1" not in shown and quarantined.study.study_uid not in shown


def test_an_archive_that_refused_is_told_with_what_to_do(run: Run, engine: sa.Engine) -> None:
    jobs = SqlJobs(engine, Vault(b"k" * 32))
    job, _ = jobs.open("key-1", a_study(), a_patient(), "model")
    lease = jobs.take(job.id, "worker")
    assert lease is not None
    jobs.give_up(lease, "ArchiveRefused", retry=False)

    shown = run("list").output

    assert "sightline archive credential" in shown and shown.count("ArchiveRefused") == 2


def asked(engine: sa.Engine, key: str, *, waited_min: float, priority: Priority = ASKED) -> None:
    then = datetime.now(UTC) - timedelta(minutes=waited_min)
    jobs = SqlJobs(engine, Vault(b"k" * 32), clock=FakeClock(then))
    jobs.open(key, a_study(tenant_id=a_tenant().id), a_patient(), "model", priority=priority)


def test_what_waits_is_counted_by_ehr_and_priority_and_names_no_patient(
    run: Run, engine: sa.Engine
) -> None:
    asked(engine, "key-1", waited_min=480)
    asked(engine, "key-2", waited_min=120)
    asked(engine, "key-3", waited_min=60, priority=Priority.CRITICAL)

    result = run("waiting", "--older-than", "600")

    critical, by_chart = result.output.splitlines()
    assert critical.split()[:3] == ["critical", "1", "waiting"] and "General Hospital" in critical
    assert by_chart.split()[:3] == ["asked", "2", "waiting"]
    assert int(by_chart.split()[4]) >= 480
    assert "p-1" not in result.output and result.exit_code == 0


def test_a_job_that_waits_for_longer_than_it_may_gives_exit_code_1(
    run: Run, engine: sa.Engine
) -> None:
    asked(engine, "key-1", waited_min=30)

    assert run("waiting").exit_code == 1
    assert run("waiting", "--older-than", "600").exit_code == 0


def test_when_nothing_waits_it_says_so(run: Run, engine: sa.Engine) -> None:
    result = run("waiting")

    assert (result.output, result.exit_code) == ("No job waits.\n", 0)


def test_without_lost_jobs_the_list_says_so(run: Run, engine: sa.Engine) -> None:
    assert run("list").output == "No job has failed or is quarantined.\n"


def test_a_quarantined_job_is_released_once_and_audited(
    run: Run, engine: sa.Engine, quarantined: Job
) -> None:
    result = run("retry", quarantined.id)

    assert result.exit_code == 0 and "Released" in result.output
    assert state_of(engine) == JobState.FAILED
    with engine.connect() as connection:
        event = connection.execute(sa.select(schema.audit_event)).one()
    assert (event.action, event.agent) == ("job-released", "administrator")


def test_a_job_that_is_not_lost_stays_as_it_is(run: Run, engine: sa.Engine) -> None:
    job, _ = SqlJobs(engine, Vault(b"k" * 32)).open("key-1", a_study(), a_patient(), "model")

    result = run("retry", job.id)

    assert result.exit_code == 0 and "nothing to release" in result.output
    assert state_of(engine) == JobState.OPEN


def test_an_unknown_job_is_one_sentence(run: Run, engine: sa.Engine) -> None:
    result = run("retry", "nobody")

    assert result.exit_code == 2 and "There is no such job." in result.output
