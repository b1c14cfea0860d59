"""Decoded frames of one launch, sealed in Redis for a while, so that paging does not refetch.

Pixels are here only as long as somebody looks at them: each entry ends by itself, and the oldest
ones give way when all of them together pass the limit.

Source: issue "sealed server cache with a TTL"; ADR 0008; threat T8.
"""

import logging
from hashlib import sha256
from typing import cast

import redis

from cds_service.errors import SightlineError
from smart_app.open_launch import OpenLaunch

log = logging.getLogger(__name__)

FRAME_LIFE_S = 900
ENTRY_LIMIT_BYTES = 64 * 1024 * 1024
TOTAL_LIMIT_BYTES = 256 * 1024 * 1024
KEY_PREFIX = "sightline:frame:"
INDEX = "sightline:frames"  # sorted by age: "<bytes>:<name>"


class FrameCache:
    """The frames that one launch has opened; no other launch reads them."""

    def __init__(self, launch: OpenLaunch) -> None:
        self._launch = launch
        self._redis, self._vault = launch.house.redis, launch.house.vault

    def get(self, result_id: str, image: str) -> bytes | None:
        """Return what was kept; None when it has ended, gave way or Redis is away."""
        name = self._name(result_id, image)
        try:
            sealed = cast(bytes | None, self._redis.get(KEY_PREFIX + name))
        except redis.RedisError:
            return None
        if sealed is None:
            return None
        try:
            return self._vault.open(name, self._launch.tenant.id, sealed)
        except SightlineError:
            log.warning("app: a sealed frame did not open, tenant=%s", self._launch.tenant.id)
            return None

    def put(self, result_id: str, image: str, data: bytes) -> None:
        """Keep the bytes if there is room for them; without Redis nothing is kept."""
        if len(data) > ENTRY_LIMIT_BYTES:
            return
        name = self._name(result_id, image)
        sealed = self._vault.seal(name, self._launch.tenant.id, data)
        now = self._launch.house.clock().timestamp()
        try:
            self._redis.set(KEY_PREFIX + name, sealed, ex=FRAME_LIFE_S)
            self._redis.zadd(INDEX, {f"{len(sealed)}:{name}": now})
            self._redis.expire(INDEX, FRAME_LIFE_S)
            self._make_room(now)
        except redis.RedisError as error:
            log.warning("app: a frame is not kept, %s", type(error).__name__)

    def _make_room(self, now: float) -> None:
        self._redis.zremrangebyscore(INDEX, 0, now - FRAME_LIFE_S)
        total = 0
        newest_first = cast(list[bytes], self._redis.zrevrange(INDEX, 0, -1))
        for entry in newest_first:
            size, _, name = entry.decode().partition(":")
            total += int(size)
            if total > TOTAL_LIMIT_BYTES:
                self._redis.zrem(INDEX, entry)
                self._redis.delete(KEY_PREFIX + name)

    def _name(self, result_id: str, image: str) -> str:
        return sha256(f"{self._launch.handle}/{result_id}/{image}".encode()).hexdigest()
