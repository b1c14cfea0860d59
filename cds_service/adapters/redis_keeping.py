"""Whether the queue's Redis keeps what it has acknowledged, as far as it tells.

Source: architecture "The ledger is SQL, Redis is a doorbell" (without a file on disk it lost 200 of
200 jobs); Redis configuration, `appendonly` and `maxmemory-policy`.
"""

from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError

KEEPS = {"appendonly": "yes", "maxmemory-policy": "noeviction"}


def unkept(redis: "Redis") -> dict[str, str]:
    """Return the settings by which it may lose keys, each with its value.

    Empty where it does not answer, or does not let anybody ask: a managed Redis has no CONFIG.
    """
    found: dict[str, str] = {}
    with suppress(RedisError):
        for name, kept in KEEPS.items():  # one at a time: several in one command is Redis 7
            value = redis.config_get(name).get(name)
            if value is not None and value != kept:
                found[name] = value
    return found
