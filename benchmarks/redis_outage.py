"""A demo's Redis that hangs, or is gone, for as long as a `with` block lasts."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.processes import tree
from benchmarks.running_demo import RunningDemo

REDIS = "redis-server"  # in the command line


@contextmanager
def redis_hung(demo: RunningDemo) -> Iterator[None]:
    """Stop the process: connections are taken, and nothing is ever answered."""
    [redis] = tree(demo.pid, REDIS)
    os.kill(redis, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(redis, signal.SIGCONT)


@contextmanager
def redis_gone(demo: RunningDemo) -> Iterator[None]:
    """Kill the process: connections are refused.

    The demo restarts what has died, so it is stopped meanwhile; its other processes go on.
    """
    [redis] = tree(demo.pid, REDIS)
    os.kill(demo.pid, signal.SIGSTOP)
    try:
        os.kill(redis, signal.SIGKILL)
        yield
    finally:
        os.kill(demo.pid, signal.SIGCONT)
