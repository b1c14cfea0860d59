"""Redis as the tests start it: it answers, and a crash loses nothing that it acknowledged."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.real.servers import RedisServer, redis_server

pytestmark = pytest.mark.real


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with redis_server(tmp_path) as running:
        yield running


def test_redis_answers_a_ping_on_loopback(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        assert client.ping() is True
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_a_killed_redis_has_its_keys_again_after_a_restart(server: RedisServer) -> None:
    with redis.Redis.from_url(server.url) as client:
        client.set("job", "42")

    server.child.kill()
    server.start()

    with redis.Redis.from_url(server.url) as client:
        assert client.get("job") == b"42"


def test_the_child_is_gone_when_the_block_ends_in_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="a failing test"), redis_server(tmp_path) as server:
        raise RuntimeError("a failing test")

    assert server.child.process.poll() is not None
