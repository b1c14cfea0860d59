"""The ledgers that the contract tests run on: in memory, SQLite and PostgreSQL."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cds_service.adapters import ledger as sql
from cds_service.adapters.vault import Vault
from cds_service.usecases import ports
from tests.fakes.alerts import FakeAlerts
from tests.fakes.intake import FakeBells, FakeCursors
from tests.fakes.ledger import (
    FakeAuditLog,
    FakeCardLog,
    FakeClock,
    FakeJobs,
    FakePublications,
    FakeReplays,
    FakeResults,
    FakeTenants,
)
from tests.fakes.reviews import FakeReviews
from tests.fakes.worklist import FakeWorklist
from tests.real.servers import Child, free_port, require

LEASE_S, ATTEMPTS = 20, 3


class Registrations(
    ports.Tenants, ports.TenantRegister, ports.DoorRegister, ports.ArchiveCredentials, Protocol
):
    """All faces of the tenant table."""


class JobTable(
    ports.Jobs, ports.DispatchedJobs, ports.JobLine, ports.Leases, ports.OverdueJobs, Protocol
):
    """All faces of the job table."""


class ReviewTable(ports.ReviewWrites, ports.WriteLeases, ports.OverdueJobs, Protocol):
    """All faces of the outbox of reviews."""


class AlertTables(ports.Alerts, ports.AlertSettings, Protocol):
    """Both faces of the alert tables."""


@dataclass(frozen=True)
class Ledger:
    """Every port of one ledger, on one clock that the test moves."""

    clock: FakeClock
    tenants: Registrations
    jobs: JobTable
    lost_jobs: ports.LostJobs
    waiting_jobs: ports.WaitingJobs
    results: ports.WorkerResults
    publications: ports.Publications
    reviews: ports.Reviews
    review_writes: ReviewTable
    cards: ports.CardLog
    audit: ports.AuditLog
    replays: ports.Replays
    alerts: AlertTables
    worklist: ports.Worklist
    cursors: ports.IntakeCursors
    bells: ports.IntakeBells


def fake_ledger() -> Ledger:
    clock = FakeClock()
    jobs = FakeJobs(lease_s=LEASE_S, attempts=ATTEMPTS, clock=clock)
    cards, reviews, results = FakeCardLog(), FakeReviews(clock), FakeResults(jobs)
    return Ledger(
        clock=clock,
        tenants=FakeTenants(),
        jobs=jobs,
        lost_jobs=jobs,
        waiting_jobs=jobs,
        results=results,
        publications=FakePublications(jobs),
        reviews=reviews,
        review_writes=reviews.writes,
        cards=cards,
        audit=FakeAuditLog(),
        replays=FakeReplays(),
        alerts=FakeAlerts(cards, reviews),
        worklist=FakeWorklist(jobs, results),
        cursors=FakeCursors(),
        bells=FakeBells(),
    )


def sql_ledger(engine: Engine) -> Ledger:
    clock = FakeClock()
    vault = Vault(os.urandom(32))
    return Ledger(
        clock=clock,
        tenants=sql.SqlTenants(engine),
        jobs=sql.SqlJobs(engine, vault, lease_s=LEASE_S, attempts=ATTEMPTS, clock=clock),
        lost_jobs=sql.SqlLostJobs(engine),
        waiting_jobs=sql.SqlWaitingJobs(engine, clock=clock),
        results=sql.SqlResults(engine, clock=clock),
        publications=sql.SqlPublications(engine, clock=clock),
        reviews=sql.SqlReviews(engine, vault, clock=clock),
        review_writes=sql.SqlReviewWrites(engine, clock=clock),
        cards=sql.SqlCardLog(engine, clock=clock),
        audit=sql.SqlAuditLog(engine),
        replays=sql.SqlReplays(engine, clock=clock),
        alerts=sql.SqlAlerts(engine),
        worklist=sql.SqlWorklist(engine),
        cursors=sql.SqlIntakeCursors(engine, clock=clock),
        bells=sql.SqlIntakeBells(engine, clock=clock),
    )


@contextmanager
def opened(url: str) -> Iterator[Engine]:
    """Connect, and close every connection at the end."""
    engine = sql.connect(url)
    try:
        yield engine
    finally:
        engine.dispose()


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'ledger.sqlite'}"


@contextmanager
def postgresql_server() -> Iterator[str]:
    """Run PostgreSQL from Debian's package; yield the address of its first database."""
    programs = _postgresql_programs()
    ready = programs is not None and find_spec("psycopg") is not None
    require("PostgreSQL", ready, "apt-get install postgresql, pip install 'psycopg[binary]'")
    assert programs is not None
    # Not pytest's folder: nobody but root may enter that, and PostgreSQL refuses to be root.
    folder = Path(tempfile.mkdtemp(prefix="sightline-postgresql-"))
    try:
        with _cluster(programs, folder) as address:
            yield address
    finally:
        shutil.rmtree(folder)


@contextmanager
def _cluster(programs: Path, folder: Path) -> Iterator[str]:
    port, data, as_user = free_port(), folder / "data", _as_postgres(folder)
    made = [programs / "initdb", "-D", data, "-U", "sightline", "--auth=trust", "--no-sync"]
    subprocess.run([*as_user, *map(str, made)], check=True, stdout=subprocess.DEVNULL, cwd=folder)
    options = ("-p", str(port), "-h", "127.0.0.1", "-k", "", "-F")
    server = Child(
        [*as_user, str(programs / "postgres"), "-D", str(data), *options], folder / "log"
    )
    address = f"postgresql://sightline@127.0.0.1:{port}/postgres"
    server.wait_until(lambda: _answers(address))
    try:
        yield address
    finally:
        server.process.send_signal(signal.SIGINT)  # SIGTERM would wait for open connections
        server.stop()


@contextmanager
def postgresql_schema(address: str) -> Iterator[str]:
    """Yield an address whose tables are nobody else's; gone at the end."""
    schema = f"t{uuid4().hex}"
    with opened(address) as engine:
        with engine.begin() as connection:
            connection.execute(sa.text(f"CREATE SCHEMA {schema}"))
        yield f"{address}?options=-csearch_path%3D{schema}"
        with engine.begin() as connection:
            connection.execute(sa.text(f"DROP SCHEMA {schema} CASCADE"))


def _postgresql_programs() -> Path | None:
    """Return the newest folder that has initdb; Debian keeps one per version."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name)
    return folders[-1] if folders else None


def _as_postgres(folder: Path) -> Sequence[str]:
    if os.geteuid() != 0:
        return []
    shutil.chown(folder, "postgres")
    # With a pdeathsig of its own: to become somebody else undoes the one before (prctl(2)).
    become = ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
    return ["setpriv", "--pdeathsig", "TERM", *become]


def _answers(address: str) -> bool:
    with opened(address) as engine:
        try:
            with engine.connect():
                return True
        except sa.exc.OperationalError:
            return False
