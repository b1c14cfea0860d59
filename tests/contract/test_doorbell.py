"""The doorbell: the same on the fake and on RQ with a real Redis; and what a ring leaves there."""

import json
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from rq import Callback, Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from cds_service.adapters.queue import (
    DAY_S,
    FAILURES,
    JOB_FUNCTION,
    OPEN_S,
    QUEUE,
    RING_TIMEOUT_S,
    RqDoorbell,
    redis_client,
    ring_worker,
    worker_redis_client,
)
from cds_service.errors import DoorbellSilent, SettingsInvalid
from cds_service.usecases.ports import Doorbell
from tests.fakes.ledger import FakeDoorbell
from tests.real.servers import RedisServer, free_port, redis_server

SILENT_WITHIN_S = 1.0  # alone it is 0.05 s; with redis-py's own retries 3.6 s


@dataclass(frozen=True)
class Hung:
    """A doorbell, what a worker would get, and a way to take the queue away."""

    bell: Doorbell
    delivered: Callable[[], list[str]]
    go_away: Callable[[], None]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


@pytest.fixture
def client(server: RedisServer) -> Iterator["Redis"]:
    """One try, as the web has it, but time enough for a Redis that shares busy cores."""
    with Redis.from_url(server.url, socket_timeout=10, retry=Retry(NoBackoff(), 0)) as client:
        yield client


@pytest.fixture
def queue(client: "Redis") -> Queue:
    return Queue(QUEUE, connection=client, serializer=JSONSerializer)


@pytest.fixture(params=["fake", pytest.param("rq", marks=pytest.mark.real)])
def hung(request: pytest.FixtureRequest) -> Hung:
    if request.param == "fake":
        fake = FakeDoorbell()
        return Hung(fake, lambda: fake.rung, lambda: setattr(fake, "is_silent", True))
    server: RedisServer = request.getfixturevalue("server")
    queue: Queue = request.getfixturevalue("queue")
    return Hung(
        RqDoorbell(request.getfixturevalue("client")),
        lambda: [job.args[0] for job in queue.jobs],
        server.child.kill,
    )


def quickest_silence(bell: Doorbell) -> float:
    """Return the seconds until DoorbellSilent, the best of a few: the cores may be busy."""
    seconds = []
    for _ in range(FAILURES):
        begun = time.monotonic()
        with pytest.raises(DoorbellSilent, match=r"^The queue is away\.$"):
            bell.ring("job-2")
        seconds.append(time.monotonic() - begun)
    return min(seconds)


# --- the contract ---


def test_every_ring_is_delivered_with_the_job_id(hung: Hung) -> None:
    hung.bell.ring("job-1")
    hung.bell.ring("job-2")
    hung.bell.ring("job-1")

    assert hung.delivered() == ["job-1", "job-2", "job-1"]


def test_a_queue_that_is_away_is_silent_at_once(hung: Hung) -> None:
    hung.bell.ring("job-1")
    hung.go_away()

    assert quickest_silence(hung.bell) < SILENT_WITHIN_S


# --- RQ on Redis ---


@pytest.mark.real
def test_a_ring_carries_the_id_and_nothing_else(client: "Redis", queue: Queue) -> None:
    RqDoorbell(client).ring("job-1")

    (job,) = queue.jobs
    assert (job.func_name, job.args, job.kwargs) == (JOB_FUNCTION, ["job-1"], {})
    assert "job-1" not in f"{job.id} {job.description}"
    assert (job.result_ttl, job.failure_ttl) == (0, DAY_S)
    assert job.timeout == -1


@pytest.mark.real
def test_nothing_in_redis_is_pickled_and_every_job_expires(client: "Redis", queue: Queue) -> None:
    RqDoorbell(client).ring("job-1")

    (job,) = queue.jobs
    stored = client.hgetall(job.key)[b"data"]
    assert isinstance(stored, bytes)
    assert json.loads(zlib.decompress(stored)) == [
        "cds_service.worker.run_job",
        None,
        ["job-1"],
        {},
    ]
    assert 0 < client.ttl(job.key) <= DAY_S


@pytest.mark.real
def test_rqs_own_worker_understands_the_ring(
    server: RedisServer, client: "Redis", queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr("cds_service.adapters.queue.JOB_FUNCTION", f"{__name__}.note")
    monkeypatch.setattr(f"{__name__}.note", done.append)
    RqDoorbell(client).ring("job-1")

    work_off(server)

    assert done == ["job-1"] and queue.jobs == []


def work_off(server: RedisServer) -> None:
    """Let a worker of ours do what is in the queue."""
    with worker_redis_client(server.url) as patient:
        ring_worker(patient, name="worker-1").work(burst=True)


def note(job_id: str) -> None:
    """Stand where the worker's function stands."""


# --- what others may have written into Redis ---


@pytest.mark.real
def test_a_function_that_is_not_ours_is_thrown_away_and_not_called(
    server: RedisServer, queue: Queue, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    planted = queue.enqueue("os.mkdir", str(tmp_path / "planted"))

    work_off(server)

    assert not (tmp_path / "planted").exists()
    assert not Job.exists(planted.id, connection=queue.connection)
    assert "a job that is no ring" in caplog.text


@pytest.mark.real
def test_a_callback_on_a_ring_is_thrown_away_with_it(
    server: RedisServer, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[object] = []
    monkeypatch.setattr(f"{__name__}.note", done.append)
    queue.enqueue(JOB_FUNCTION, "job-1", on_failure=Callback(f"{__name__}.note"))

    work_off(server)

    assert done == [] and queue.jobs == []


@pytest.mark.real
def test_what_cannot_be_read_as_a_job_does_not_stop_the_worker(
    server: RedisServer, client: "Redis", queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    monkeypatch.setattr("cds_service.adapters.queue.JOB_FUNCTION", f"{__name__}.note")
    monkeypatch.setattr(f"{__name__}.note", done.append)
    bell = RqDoorbell(client)
    bell.ring("job-1")
    client.hset(queue.jobs[0].key, "data", b"\x80\x05no json")
    bell.ring("job-2")

    work_off(server)

    assert done == ["job-2"]


# --- the circuit breaker ---


@dataclass
class Seconds:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def test_after_three_failures_it_is_silent_without_trying(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Seconds()
    with redis_client(f"redis://127.0.0.1:{free_port()}", timeout_s=RING_TIMEOUT_S) as client:
        bell = RqDoorbell(client, monotonic=clock)
        tried = count_connections(client, monkeypatch)

        for _ in range(FAILURES + 5):
            with pytest.raises(DoorbellSilent):
                bell.ring("job-1")

        assert len(tried) == FAILURES
        clock.now = OPEN_S
        with pytest.raises(DoorbellSilent):
            bell.ring("job-1")
        assert len(tried) == FAILURES + 1


def count_connections(client: "Redis", monkeypatch: pytest.MonkeyPatch) -> list[object]:
    tried: list[object] = []
    connect = client.connection_pool.connection_class.connect

    def counted(connection: object) -> None:
        tried.append(connection)
        connect(connection)

    monkeypatch.setattr(client.connection_pool.connection_class, "connect", counted)
    return tried


@pytest.mark.real
def test_it_rings_again_once_redis_is_back(server: RedisServer, client: "Redis") -> None:
    clock = Seconds()
    bell = RqDoorbell(client, monotonic=clock)
    server.child.kill()
    for _ in range(FAILURES):
        with pytest.raises(DoorbellSilent):
            bell.ring("job-1")
    server.start()

    with pytest.raises(DoorbellSilent):
        bell.ring("job-1")
    clock.now = OPEN_S
    bell.ring("job-2")

    assert Queue(QUEUE, connection=client, serializer=JSONSerializer).count == 1


def test_a_server_that_accepts_and_says_nothing_is_silent_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with redis_client(f"redis://127.0.0.1:{port}", timeout_s=RING_TIMEOUT_S) as client:
            assert quickest_silence(RqDoorbell(client)) < SILENT_WITHIN_S


@pytest.mark.parametrize("make", [partial(redis_client, timeout_s=1.0), worker_redis_client])
def test_an_address_that_is_not_redis_names_the_setting(make: Callable[[str], "Redis"]) -> None:
    with pytest.raises(SettingsInvalid, match="SIGHTLINE_REDIS_URL"):
        make("http://127.0.0.1")
