"""Threads for the reads that a hook may leave behind: each EHR has its own.

An EHR that hangs holds its own threads, and the hooks of the others are read for as before.

Source: architecture "One hook through the house" point 5; threat T18.
"""

from concurrent.futures import Executor, ThreadPoolExecutor
from threading import Lock

# Of one EHR in one process. 50 hooks a second with two reads of 300 ms each need 15; with 8, two
# reads in three came too late (docs/reference/benchmarks.md). A read that finds none free waits.
THREADS = 24


class Lanes:
    """Gives each EHR its own bounded pool; threads start when they are first needed."""

    def __init__(self, threads: int = THREADS) -> None:
        self._threads = threads
        self._of: dict[str, ThreadPoolExecutor] = {}
        self._lock = Lock()

    def __call__(self, tenant_id: str) -> Executor:
        """Return the pool of this EHR."""
        with self._lock:
            if tenant_id not in self._of:
                self._of[tenant_id] = ThreadPoolExecutor(self._threads, "prefetch")
            return self._of[tenant_id]
