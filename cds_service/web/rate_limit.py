"""How often one EHR, or one address, may call: a token bucket each, in the memory of this process.

It is for a client that has gone wild, not for load in general: in front of several processes the
limit is per process, and calls without a valid token never reach it.

Source: CDS Hooks 2.0 "HTTP Status Codes"; RFC 6585 (429), RFC 9110 (Retry-After); threat T18.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from threading import Lock

from cds_service.domain.tenant import Tenant
from cds_service.errors import TooManyCalls

BURST_S = 2.0  # how many seconds' worth may come at once
CALLS_PER_S = 200.0  # of one EHR, unless the settings say otherwise
BUCKETS = 10_000  # kept; a full one is as good as none


@dataclass(slots=True)
class _Bucket:
    left: float
    filled_at: float


class RateLimit:
    """Counts the calls of each caller."""

    def __init__(
        self, calls_per_s: float = CALLS_PER_S, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate, self._timer = calls_per_s, timer
        self._buckets: dict[str, _Bucket] = {}
        self._lock = Lock()

    def take(self, tenant: Tenant) -> None:
        """Count one call of an EHR; raise TooManyCalls, which says when the next one may come."""
        self.take_from(tenant.id, tenant.name)

    def take_from(self, caller: str, name: str = "") -> None:
        """Count one call; raises as `take`, with this name for the log."""
        full = max(1.0, self._rate * BURST_S)
        now = self._timer()
        with self._lock:
            if caller not in self._buckets and len(self._buckets) >= BUCKETS:
                self._forget_full_ones(full, now)
            bucket = self._buckets.setdefault(caller, _Bucket(full, now))
            bucket.left = min(full, bucket.left + (now - bucket.filled_at) * self._rate)
            bucket.filled_at = now
            if bucket.left < 1:
                wait_s = ceil((1 - bucket.left) / self._rate)
                raise TooManyCalls(wait_s, tenant_name=name)
            bucket.left -= 1

    def _forget_full_ones(self, full: float, now: float) -> None:
        self._buckets = {
            caller: bucket
            for caller, bucket in self._buckets.items()
            if bucket.left + (now - bucket.filled_at) * self._rate < full
        }
