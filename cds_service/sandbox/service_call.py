"""One signed call of the CDS service, timed, with its answer or a sentence that says what failed.

Source: CDS Hooks 2.0 "HTTP Response", "Trusting CDS Clients".
"""

import time
from dataclasses import dataclass

import requests

from cds_service.sandbox.outcomes import Resource
from cds_service.sandbox.parts import Sandbox

TIMEOUT_S = 5.0


class ServiceSilent(Exception):
    """The CDS service gave no usable answer; `str()` is a sentence for the clinician."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What one call came to; `failure` is None when `content` may be used.

    status    HTTP status, None when nothing was answered in time
    content   the JSON object that was answered; {} for a body that nobody asked for
    """

    took_ms: int
    status: int | None = None
    content: Resource | None = None
    failure: str | None = None

    def require(self) -> Resource:
        """Return the content; raise ServiceSilent when the call failed."""
        if self.failure is not None or self.content is None:
            raise ServiceSilent(self.failure or "The AI service did not answer.")
        return self.content


def call(
    parts: Sandbox, url: str, body: Resource | None = None, *, expects_body: bool = True
) -> Reply:
    """GET, or POST the body, signed for exactly this URL, within TIMEOUT_S."""
    headers = {"Authorization": f"Bearer {parts.authorization.sign_hook_jwt(url)}"}
    begun = time.monotonic()
    with requests.Session() as session:
        session.trust_env = False  # a proxy has no business between two loopback addresses
        try:
            answer = session.request(
                "GET" if body is None else "POST",
                url,
                json=body,
                headers=headers,
                timeout=TIMEOUT_S,
                allow_redirects=False,
            )
        except requests.Timeout:
            words = f"The AI service did not answer within {TIMEOUT_S:.0f} seconds."
            return Reply(_ms_since(begun), failure=words)
        except requests.RequestException:
            return Reply(_ms_since(begun), failure="The AI service did not answer.")
    took_ms = _ms_since(begun)
    content = _content(answer) if expects_body else {}
    return Reply(took_ms, answer.status_code, content, _failure(answer, content))


def _ms_since(begun: float) -> int:
    return round(1000 * (time.monotonic() - begun))


def _content(answer: requests.Response) -> Resource | None:
    try:
        content = answer.json()
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _failure(answer: requests.Response, content: Resource | None) -> str | None:
    if answer.status_code == 401:
        return "The AI service does not trust this EHR's signature (HTTP 401)."
    if not answer.ok or answer.is_redirect:
        return f"The AI service answered with an error (HTTP {answer.status_code})."
    if content is None:
        return "The AI service answered with something this EHR cannot read."
    return None
