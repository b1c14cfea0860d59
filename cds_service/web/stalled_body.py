"""Hang up on a sender whose body stops coming: it would hold a thread for as long as it likes.

Neither gunicorn's threads nor a network that is cut without a word end such a read.

Source: threat T18; RFC 9110 15.5.9 (a server may close a connection that it no longer waits for).
"""

import socket
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType

from flask import request

_CONNECTIONS = ("gunicorn.socket", "werkzeug.socket")  # of the WSGI environment


class StalledBody:
    """Within its block, the request's body ends early once nothing is `heard` for `limit_s`."""

    def __init__(self, limit_s: float) -> None:
        found = (request.environ.get(name) for name in _CONNECTIONS)
        self._connection = next((one for one in found if isinstance(one, socket.socket)), None)
        self._limit_s = limit_s
        self._over, self._heard = Event(), Event()
        self._watch = Thread(target=self._keep_watch, name="stalled-body", daemon=True)

    def __enter__(self) -> "StalledBody":
        self._watch.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._watch.join()

    def heard(self) -> None:
        """Note that a piece has come."""
        self._heard.set()

    def _keep_watch(self) -> None:
        while not self._over.wait(self._limit_s):
            if not self._heard.is_set():
                return self._hang_up()
            self._heard.clear()
        return None

    def _hang_up(self) -> None:
        if self._connection is not None:
            with suppress(OSError):  # closed meanwhile
                self._connection.shutdown(socket.SHUT_RD)  # an answer can still be written
