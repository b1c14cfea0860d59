"""Ask a token endpoint, and read what it answers.

Source: RFC 6749 5.1 (successful response), 5.2 (errors).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import requests

from cds_service.adapters.pauses import BUSY
from cds_service.errors import EhrAnswerInvalid, EhrBusy, EhrTimedOut
from cds_service.fhir import bounded_json

ASK_S = 10.0  # for all that one token needs; a hook that waits has less
DEFAULT_LIFE_S = 300.0  # SMART recommends at most this; used when the server names none
EHRS = "The EHR's token endpoint"


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and what it is good for."""

    access_token: str = field(repr=False)
    scope: str
    expires_at: float  # on the clock of whoever asked for it


def send(
    call: Callable[[float], requests.Response], until: float, whose: str = EHRS
) -> requests.Response:
    """Return the answer of a call that is given the seconds left; `until` is monotonic.

    Raises EhrTimedOut or EhrBusy with a sentence that begins with `whose`.
    """
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise EhrTimedOut(late(whose))
    try:
        response = call(left_s)
    except requests.Timeout as error:
        raise EhrTimedOut(late(whose)) from error
    except requests.RequestException as error:
        raise EhrBusy(f"{whose} could not be reached.") from error
    if response.status_code in BUSY:
        raise EhrBusy(f"{whose} asked us to come back later.")
    return response


def late(whose: str) -> str:
    """Say that this token endpoint did not answer in time."""
    return f"{whose} gave no answer in time."


def json_object(response: requests.Response, whose: str = EHRS) -> Mapping[str, Any]:
    """Return the JSON object of an answer; raise EhrAnswerInvalid."""
    try:
        document = bounded_json.parse(response.content)
    except ValueError as error:
        raise EhrAnswerInvalid(f"{whose} did not answer JSON.") from error
    if not isinstance(document, dict):
        raise EhrAnswerInvalid(f"{whose} did not answer a JSON object.")
    return document


def token_in(answer: Mapping[str, Any], scope: str, now: float, whose: str = EHRS) -> Token:
    """Return the token of a successful answer; raise EhrAnswerInvalid where it holds none.

    scope   what was asked for; the answer names it only where it granted something else
    now     on the clock that `expires_at` is to be read on
    """
    value, granted = answer.get("access_token"), answer.get("scope")
    if not isinstance(value, str) or not _is_header_text(value):
        raise EhrAnswerInvalid(f"{whose} answered without a token.")
    expires_at = now + _life_s(answer.get("expires_in"))
    return Token(value, granted if isinstance(granted, str) else scope, expires_at)


def _is_header_text(value: str) -> bool:
    return bool(value) and value.isascii() and value.isprintable()


def _life_s(said: object) -> float:
    """Read seconds, which version 1 of Microsoft Entra writes as a text."""
    try:
        life_s = float(said) if isinstance(said, int | float | str) else 0.0
    except ValueError:
        life_s = 0.0
    return life_s if 0 < life_s < float("inf") else DEFAULT_LIFE_S
