"""What the worker says at its start about a Redis that may lose keys."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from cds_service.adapters.queue import redis_client
from cds_service.adapters.redis_keeping import unkept
from cds_service.settings import Settings
from cds_service.wiring import warn_of_redis
from tests.real.servers import RedisServer, free_port, redis_server

pytestmark = pytest.mark.real


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


def set_up(server: RedisServer, **settings: str) -> None:
    with Redis.from_url(server.url) as client:
        for name, value in settings.items():
            client.config_set(name.replace("_", "-"), value)


def said_of(url: str) -> dict[str, str]:
    with redis_client(url, timeout_s=30) as client:
        return unkept(client)


def test_a_redis_that_keeps_everything_is_not_spoken_of(server: RedisServer) -> None:
    assert said_of(server.url) == {}


def test_a_redis_without_an_append_only_file_is_named(server: RedisServer) -> None:
    set_up(server, appendonly="no")

    assert said_of(server.url) == {"appendonly": "no"}


def test_a_redis_that_throws_keys_away_is_named(server: RedisServer) -> None:
    set_up(server, maxmemory_policy="allkeys-lru")

    assert said_of(server.url) == {"maxmemory-policy": "allkeys-lru"}


def test_of_a_redis_that_does_not_tell_nothing_is_said(server: RedisServer) -> None:
    set_up(server, appendonly="no")
    with Redis.from_url(server.url) as client:
        client.acl_setuser(
            "tenant", enabled=True, passwords=["+word"], keys=["*"], commands=["+@all", "-config"]
        )

    assert said_of(server.url.replace("://", "://tenant:word@")) == {}


def test_of_a_redis_that_is_away_nothing_is_said() -> None:
    assert said_of(f"redis://127.0.0.1:{free_port()}/0") == {}


def test_the_worker_says_it_in_one_line(
    server: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    set_up(server, appendonly="no", maxmemory_policy="volatile-ttl")
    settings = Settings.from_env(
        {
            "SIGHTLINE_PUBLIC_URL": "https://cds.example.org",
            "SIGHTLINE_DATA": str(tmp_path),
            "SIGHTLINE_REDIS_URL": server.url,
        }
    )

    warn_of_redis(settings)

    [line] = caplog.records
    assert line.levelname == "WARNING"
    for words in ("appendonly is no", "maxmemory-policy is volatile-ttl"):
        assert words in line.getMessage()
