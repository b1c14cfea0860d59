"""A call to a neighbour that many wait for, each no longer than it can.

The call has a thread of its own and goes on when nobody waits any more: a neighbour that is slower
than one hook has its answer ready for the next. Whoever starts a call sees to it that there is one
at a time for each address, and that it ends.

Source: architecture "One hook through the house" point 5.
"""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

from cds_service.errors import EhrTimedOut

T = TypeVar("T")


def in_background(call: Callable[[], T], name: str) -> Future[T]:
    """Begin the call; `name` is its thread's. A process that ends does not wait for it."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:  # whoever waits raises it
            future.set_exception(error)

    Thread(target=run, name=name, daemon=True).start()
    return future


def wait_for(future: Future[T], timeout_s: float, late: str) -> T:
    """Return what the call returned, or raise what it raised; EhrTimedOut(`late`) before that."""
    try:
        return future.result(timeout=max(0.0, timeout_s))
    except TimeoutError:
        raise EhrTimedOut(late) from None
