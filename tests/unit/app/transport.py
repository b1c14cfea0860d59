"""An authorization server in memory, behind a real requests session."""

import json
from typing import Any

import requests
from requests.adapters import BaseAdapter


class Answers(BaseAdapter):
    """Answers every address with what it was given, and keeps the requests."""

    def __init__(self, status: int, body: Any) -> None:
        super().__init__()
        self._status = status
        self._body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.requests: list[requests.PreparedRequest] = []

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        self.requests.append(request)
        response = requests.Response()
        response.status_code, response._content, response.request = (
            self._status,
            self._body,
            request,
        )
        return response

    def close(self) -> None:
        """Nothing is open."""


class Silence(Answers):
    """Never answers."""

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        raise requests.ReadTimeout


def session_over(adapter: BaseAdapter) -> requests.Session:
    session = requests.Session()
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
