"""Real workers on two machines: two network namespaces against one Redis and one PostgreSQL.

An archive with one film for every study, jobs in the ledger, a ring for each; from the first lease
to the last result, by the ledger's clock. The EHR takes nothing, so nothing is written back.

Source: issue "Imaging pipeline", "Speed and memory"; architecture "many machines".
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path

import sqlalchemy as sa

from benchmarks.conditions import load
from benchmarks.figures import MeasurementFailed
from benchmarks.films import film
from benchmarks.namespaces import Namespace, namespaces
from benchmarks.running_demo import free_port
from cds_service.adapters.ledger import connect
from cds_service.adapters.ledger.schema import job
from cds_service.adapters.queue import SESSION_TIMEOUT_S, RqDoorbell, redis_client
from cds_service.domain.job import JobState
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.settings import Settings
from cds_service.wiring import House, open_house, prepare_installation

STUDIES = 60
HERE = (1, 2, 4)  # worker processes on this machine
THERE = (1, 2)  # in each of two namespaces
START_TIMEOUT_S, DONE_TIMEOUT_S, STOP_TIMEOUT_S = 120.0, 300.0, 40.0
FIRST_UID = 2_500_000_001  # each as long as the next: the film is changed in place
MODEL = "cxr_pneumonia_peds"
_READY = b"worker ready"


def scale() -> Iterator[str]:
    """Yield the studies per second of each arrangement."""
    with namespaces(2) as far, _installation(far) as site:
        for processes in HERE:
            yield _line(site, f"{processes} here", [(None, processes)])
        for processes in THERE:
            places = [(one, processes) for one in far]
            yield _line(site, f"{processes} in each of two namespaces", places)


@dataclass(frozen=True, slots=True)
class _Site:
    """One installation, and how a worker reaches it from an address of this machine."""

    house: House
    doorbell: RqDoorbell
    env_at: Callable[[str], dict[str, str]]
    folder: Path
    uids: Iterator[int]


def _line(site: _Site, where: str, places: Sequence[tuple[Namespace | None, int]]) -> str:
    with ExitStack() as stack:
        for number, (place, processes) in enumerate(places):
            stack.enter_context(_workers(site, number, place, processes))
        jobs = [_ask(site) for _ in range(STUDIES)]
        seconds = _until_done(site, jobs)
    return f"workers, {where}: {STUDIES / seconds:.1f} studies/s (n {STUDIES}); load {load()}"


def _ask(site: _Site) -> str:
    number = next(site.uids)
    study = StudyReference("t", f"2.25.{number}", "p", series_count=1, instance_count=1)
    patient = PatientFacts("p", identifiers=("BENCHMARK",), sex="female")
    opened, _ = site.house.jobs.open(f"key-{number}", study, patient, MODEL)
    site.doorbell.ring(opened.id)
    return opened.id


def _until_done(site: _Site, jobs: Sequence[str]) -> float:
    """Wait for all; return the seconds from the first lease to the last result."""
    state = sa.select(
        sa.func.count(), sa.func.min(job.c.started_at), sa.func.max(job.c.updated_at)
    ).where(job.c.id.in_(jobs), job.c.state == JobState.DONE)
    deadline = time.monotonic() + DONE_TIMEOUT_S
    while time.monotonic() < deadline:
        with site.house.engine.connect() as connection:
            done, first, last = connection.execute(state).one()
        if done == len(jobs):
            seconds: float = (last - first).total_seconds()
            return seconds
        time.sleep(0.2)
    raise MeasurementFailed(f"{done} of {len(jobs)} studies were done in {DONE_TIMEOUT_S:g} s")


@contextmanager
def _workers(site: _Site, number: int, place: Namespace | None, processes: int) -> Iterator[None]:
    """Run one supervisor with so many processes, ready when this yields."""
    command = [sys.executable, "-m", "cds_service.cli", "worker", "--processes", str(processes)]
    env = site.env_at("127.0.0.1" if place is None else place.host)
    output = site.folder / f"workers-{number}.txt"
    with output.open("wb") as sink:
        supervisor = subprocess.Popen(
            command if place is None else place.command(*command),
            stdout=sink,
            stderr=subprocess.STDOUT,
            env={**os.environ, **env},
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while output.read_bytes().count(_READY) < processes:
            if supervisor.poll() is not None or time.monotonic() > deadline:
                raise MeasurementFailed(f"workers did not start:\n{output.read_text()[-1000:]}")
            time.sleep(0.1)
        yield
    finally:
        supervisor.terminate()
        supervisor.wait(STOP_TIMEOUT_S)


@contextmanager
def _installation(far: Sequence[Namespace]) -> Iterator[_Site]:
    """Start PostgreSQL, Redis and an archive where the namespaces reach them, and register."""
    hosts = ["127.0.0.1", *(one.host for one in far)]
    folder = Path(tempfile.mkdtemp(prefix="sightline-bench-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        database = stack.enter_context(_postgresql(hosts, folder / "postgresql"))
        redis = stack.enter_context(_redis(hosts))
        archive = stack.enter_context(_archive(hosts[-1]))
        data = folder / "data"

        def env_at(host: str) -> dict[str, str]:
            return {
                "SIGHTLINE_DATA": str(data),
                "SIGHTLINE_PUBLIC_URL": "http://127.0.0.1:1",
                "SIGHTLINE_DATABASE_URL": f"postgresql://sightline@{host}:{database}/postgres",
                "SIGHTLINE_REDIS_URL": f"redis://{host}:{redis}/0",
            }

        settings = Settings.from_env(env_at("127.0.0.1"))
        prepare_installation(settings)
        house = open_house(settings)
        base = f"http://{hosts[-1]}:{archive}"
        house.tenants.add(
            Tenant(
                "t", "Benchmark", f"{base}/fhir", f"{base}/fhir", jwks='{"keys": []}',
                archive_base=f"{base}/dicomweb",
            )
        )  # fmt: skip
        doorbell = RqDoorbell(redis_client(settings.redis_url, timeout_s=SESSION_TIMEOUT_S))
        yield _Site(house, doorbell, env_at, folder, count(FIRST_UID))
        house.engine.dispose()


@contextmanager
def _postgresql(hosts: Sequence[str], folder: Path) -> Iterator[int]:
    """Run Debian's PostgreSQL as its own user; yield the port."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"), default=None)
    if programs is None:
        raise MeasurementFailed("PostgreSQL is not installed")
    folder.mkdir()
    shutil.chown(folder, "postgres")
    folder.parent.chmod(0o755)
    become = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    data, port = folder / "data", free_port()
    made = [*become, str(programs / "initdb"), "-D", str(data), "-U", "sightline", "--auth=trust"]
    subprocess.run(made, check=True, stdout=subprocess.DEVNULL, cwd=folder)
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 10.77.0.0/16 trust\n")
    options = ["-p", str(port), "-h", ",".join(hosts), "-k", "", "-c", "fsync=off"]
    server = subprocess.Popen(
        [*become, str(programs / "postgres"), "-D", str(data), *options],
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait(lambda: _connects(f"postgresql://sightline@127.0.0.1:{port}/postgres"))
        yield port
    finally:
        server.send_signal(signal.SIGINT)  # SIGTERM would wait for open connections
        server.wait(STOP_TIMEOUT_S)


@contextmanager
def _redis(hosts: Sequence[str]) -> Iterator[int]:
    port = free_port()
    options = ["--port", str(port), "--bind", *hosts, "--protected-mode", "no", "--save", ""]
    server = subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL)
    try:
        client = redis_client(f"redis://127.0.0.1:{port}/0", timeout_s=SESSION_TIMEOUT_S)
        _wait(lambda: bool(client.ping()))
        yield port
    finally:
        server.terminate()
        server.wait(STOP_TIMEOUT_S)


@contextmanager
def _archive(host: str) -> Iterator[int]:
    """Serve the film as the only instance of whatever study is asked for."""
    template = film(study_uid=f"2.25.{FIRST_UID}")

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            """Answer WADO-RS `studies/UID` with the film under that identifier."""
            number = self.path.rstrip("/").rpartition(".")[2].encode()
            body = template.replace(str(FIRST_UID).encode(), number)
            self.send_response(200)
            self.send_header("Content-Type", "application/dicom")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((host, 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()


def _connects(url: str) -> bool:
    engine = connect(url)
    try:
        with engine.connect():
            return True
    finally:
        engine.dispose()


def _wait(works: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            if works():
                return
        except Exception as error:  # each server refuses in its own way until it is up
            if time.monotonic() > deadline:
                raise MeasurementFailed(f"a server did not start: {type(error).__name__}") from None
        time.sleep(0.1)
