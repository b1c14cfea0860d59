"""The sealed store over a real Redis."""

import pytest
import redis

from cds_service.adapters.queue import SESSION_TIMEOUT_S, redis_client
from cds_service.adapters.vault import Vault
from smart_app.session import SealedStore, new_handle


@pytest.fixture
def store(keyspace: redis.Redis) -> SealedStore:
    return SealedStore(keyspace, Vault(b"k" * 32))


def test_a_value_can_be_read_until_its_end(store: SealedStore, keyspace: redis.Redis) -> None:
    handle = new_handle("t-1")

    store.put("session", handle, {"a": 1}, 100)

    (key,) = keyspace.scan_iter()
    assert store.get("session", handle) == {"a": 1} and 0 < keyspace.ttl(key) <= 100


def test_a_redis_that_is_slow_is_waited_for(redis_url: str, keyspace: redis.Redis) -> None:
    handle = new_handle("t-1")
    with redis_client(redis_url, timeout_s=SESSION_TIMEOUT_S) as client:
        store = SealedStore(client, Vault(b"k" * 32))
        keyspace.client_pause(200)  # ms; a hook's doorbell would have given up after 50

        store.put("session", handle, {"a": 1}, 100)

        assert store.get("session", handle) == {"a": 1}


def test_a_value_can_be_taken_once(store: SealedStore) -> None:
    handle = new_handle("t-1")
    store.put("launch", handle, {"a": 1}, 100)

    assert store.take("launch", handle) == {"a": 1}
    assert store.take("launch", handle) is None


def test_a_handle_of_one_kind_opens_no_other(store: SealedStore) -> None:
    handle = new_handle("t-1")
    store.put("launch", handle, {"a": 1}, 100)

    assert store.get("session", handle) is None


def test_a_value_moved_to_another_key_does_not_open(
    store: SealedStore, keyspace: redis.Redis
) -> None:
    mine, theirs = new_handle("t-1"), new_handle("t-1")
    store.put("session", mine, {"a": 1}, 100)
    (first,) = keyspace.scan_iter()
    store.put("session", theirs, {"a": 2}, 100)
    (second,) = set(keyspace.scan_iter()) - {first}

    keyspace.copy(second, first, replace=True)

    assert store.get("session", mine) is None


def test_a_handle_that_claims_another_tenant_finds_nothing(store: SealedStore) -> None:
    handle = new_handle("t-1")
    store.put("session", handle, {"a": 1}, 100)

    assert store.get("session", handle.replace("t-1.", "t-2.")) is None


def test_two_handles_are_never_alike() -> None:
    assert len({new_handle("t-1") for _ in range(100)}) == 100
