"""`sightline jobs`: what an administrator types when an analysis was given up."""

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result

from cds_service.adapters.ledger import SqlJobs, SqlTenants, connect, schema, upgrade
from cds_service.adapters.vault import Vault
from cds_service.cli import main
from cds_service.domain.job import Job, JobState
from tests.builders import a_patient, a_study, a_tenant
from tests.fakes.ledger import FakeClock

Run = Callable[..., Result]


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
