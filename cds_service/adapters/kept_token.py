"""A token that is asked for once, however many wait, and kept until shortly before it expires.

Source: RFC 6749 5.1 (expires_in); RFC 6750 2.1 (Authorization header), 3.1 (invalid_token).
"""

import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock
from typing import Any

import requests
from requests.auth import AuthBase

from cds_service.adapters.background import in_background, wait_for
from cds_service.adapters.token_endpoint import ASK_S, EHRS, Token, late

RENEW_BEFORE_S = 30.0
WAIT_S = 5.0  # for a token; a hook that waits has less


class KeptToken:
    """One place's token; memory only."""

    def __init__(
        self, ask: Callable[[float], Token], clock: Callable[[], float], whose: str = EHRS
    ) -> None:
        """`ask` is told until when (monotonic); `whose` begins what EhrTimedOut says."""
        self._ask, self._clock, self._whose = ask, clock, whose
        self._token: Token | None = None
        self._asking: Future[Token] | None = None
        self._lock = Lock()  # never held during a call

    def get(self, timeout_s: float) -> Token:
        """Return a token with at least 30 s left; raise EhrTimedOut, or what `ask` raises."""
        with self._lock:
            known = self._token
            if known is not None and self._clock() < known.expires_at - RENEW_BEFORE_S:
                return known
            if self._asking is None or self._asking.done():
                self._asking = in_background(self._renew, "token")
            asking = self._asking
        return wait_for(asking, timeout_s, late(self._whose))

    def forget(self, token: Token) -> None:
        """Drop this token, because it was not accepted."""
        with self._lock:
            if self._token is token:
                self._token = None

    def _renew(self) -> Token:
        token = self._ask(time.monotonic() + ASK_S)
        with self._lock:
            self._token = token
        return token


class Bearer(AuthBase):
    """A token on a request, the same for as long as this is used."""

    def __init__(self, access_token: str) -> None:
        self._access_token = access_token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign the request."""
        request.headers["Authorization"] = f"Bearer {self._access_token}"
        return request


class RenewedBearer(AuthBase):
    """A token on a request; a 401 means that it was revoked, so it is renewed once."""

    def __init__(self, token: Token, renew: Callable[[Token], Token | None]) -> None:
        """`renew` returns another one in the place of this one, or None."""
        self._token, self._renew = token, renew

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign the request."""
        request.headers["Authorization"] = f"Bearer {self._token.access_token}"
        request.hooks["response"].append(self._again)
        return request

    def _again(self, response: requests.Response, **sending: Any) -> requests.Response:  # noqa: ANN401  requests' own arguments, passed on
        refused = f"Bearer {self._token.access_token}"
        if response.status_code != 401 or response.request.headers["Authorization"] != refused:
            return response
        response.close()
        renewed = self._renew(self._token)
        if renewed is None:
            return response
        self._token = renewed
        request = response.request.copy()
        request.headers["Authorization"] = f"Bearer {renewed.access_token}"
        again = response.connection.send(request, **sending)  # the same door, so checked again
        again.request = request
        return again
