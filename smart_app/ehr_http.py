"""One call to an EHR's authorization server, with its failures in our own words.

Source: RFC 6749 5.2; threat T23 (hostile answers).
"""

from collections.abc import Callable
from typing import Any

import requests

from cds_service.errors import EhrAnswerInvalid, EhrBusy, EhrTimedOut, UpstreamFailed
from cds_service.fhir import bounded_json


def answer_of(call: Callable[[], requests.Response]) -> requests.Response:
    """Make the call; raise EhrTimedOut, EhrBusy (5xx, 429) or UpstreamFailed (no connection)."""
    try:
        response = call()
    except requests.Timeout as error:
        raise EhrTimedOut("The EHR did not answer in time.") from error
    except requests.RequestException as error:
        raise UpstreamFailed("The EHR could not be reached.") from error
    if response.status_code == 429 or response.status_code >= 500:
        raise EhrBusy("The EHR is not able to answer now.")
    return response


def object_in(response: requests.Response) -> dict[str, Any]:
    """Return the JSON object of the body; raise EhrAnswerInvalid."""
    try:
        document = bounded_json.parse(response.content)
    except ValueError as error:
        raise EhrAnswerInvalid("The EHR's answer is not JSON.") from error
    if not isinstance(document, dict):
        raise EhrAnswerInvalid("The EHR's answer is not a JSON object.")
    return document
