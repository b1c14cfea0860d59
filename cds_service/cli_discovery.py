"""Asks a running service for its discovery, as a client would: a developer's own request.

This is not the egress door of the service: whoever types the address decides whom to call. Still
no redirect is followed, and neither time nor bytes are unlimited.

Source: CDS Hooks 2.0 "Discovery" (ch2:1, ch2:2, ch2:4, ch2:5, ch2:13).
"""

import time
from urllib.parse import urlsplit

import requests

from cds_service.errors import UpstreamFailed
from cds_service.lint import Breach, Level

TIMEOUT_S = 10.0  # to connect, and between two bytes
WHOLE_S = 30.0
LIMIT_BYTES = 4 * 1024 * 1024
PATH = "/cds-services"
_CHUNK_BYTES = 64 * 1024
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def discovery_address(url: str) -> str:
    """Return `{base}/cds-services` for a base, and the address itself if it is that already."""
    base = url.rstrip("/")
    return base if base.endswith(PATH) else base + PATH


def fetch_discovery(address: str) -> tuple[bytes, list[Breach]]:
    """Return the body and what is wrong with its transport; raise UpstreamFailed if none comes."""
    found = _insecure(address)
    try:
        with (
            requests.Session() as session,
            session.get(
                address,
                headers={"Accept": "application/json"},
                timeout=TIMEOUT_S,
                allow_redirects=False,
                stream=True,
            ) as answer,
        ):
            body = _body(answer)
    except requests.RequestException as error:
        raise UpstreamFailed(f"{address} gave no answer ({type(error).__name__}).") from error
    return body, found + _answered(answer)


def _body(answer: requests.Response) -> bytes:
    body, deadline = bytearray(), time.monotonic() + WHOLE_S
    for chunk in answer.iter_content(_CHUNK_BYTES):
        body += chunk
        if len(body) > LIMIT_BYTES:
            raise UpstreamFailed(f"The answer is larger than {LIMIT_BYTES} bytes.")
        if time.monotonic() > deadline:
            raise UpstreamFailed(f"The answer took longer than {WHOLE_S:.0f} s.")
    return bytes(body)


def _insecure(address: str) -> list[Breach]:
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise UpstreamFailed(f"{address} is no address.") from error
    if parts.scheme == "https":
        return []
    is_here = parts.hostname in _LOOPBACK
    level = Level.ADVICE if is_here else Level.BREACH
    return [Breach("ch2:2", level, "", "The service is not called over https.", "Use TLS.")]


def _answered(answer: requests.Response) -> list[Breach]:
    found = []
    if answer.status_code != 200:
        problem = f"The discovery address answered {answer.status_code}."
        fix = "Answer 200 at exactly {base}/cds-services, without a redirect."
        found.append(Breach("ch2:13", Level.BREACH, "", problem, fix))
    mimetype = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if mimetype != "application/json" and not mimetype.endswith("+json"):
        problem = f"The Content-Type is {mimetype[:60] or 'missing'}."
        found.append(Breach("ch2:1", Level.BREACH, "", problem, "Send application/json."))
    return found
