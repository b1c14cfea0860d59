"""Try an EHR and our own public address: what they say of themselves, and no patient's data.

Source: FHIR R4 capabilitystatement.html (`/metadata`); RFC 7517 (JWK Set).
"""

from collections.abc import Callable, Mapping
from typing import Any

import requests

from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, EhrBusy, EhrRefused, EhrTimedOut, UpstreamFailed
from cds_service.fhir import bounded_json
from cds_service.usecases.ports import Resource

PROBE_S = 8.0  # for one answer; a check as a whole has a little more, so that this is told
OWN_S = 4.0
_CHUNK_BYTES, _LIMIT_BYTES = 16 * 1024, 1024 * 1024  # of our own key set


def capability_statement(tenant: Tenant, session_for: Callable[..., requests.Session]) -> Resource:
    """Return what `/metadata` answers, asked without a token as anybody may.

    Raises EhrRefused, EhrTimedOut, EhrBusy, EhrAnswerInvalid or EndpointNotAllowed.
    """
    session = session_for(tenant, timeout_s=PROBE_S, body_s=PROBE_S)
    headers = {"Accept": "application/fhir+json"}
    try:
        response = session.get(f"{tenant.fhir_base}/metadata", headers=headers)
    except requests.Timeout as error:
        raise EhrTimedOut("The FHIR base gave no answer in time.") from error
    except requests.RequestException as error:
        raise EhrBusy("The FHIR base could not be reached.") from error
    if response.status_code in (401, 403):
        raise EhrRefused(f"The EHR shows nobody its CapabilityStatement ({response.status_code}).")
    if response.status_code != 200:
        raise EhrAnswerInvalid(
            f"The FHIR base has no CapabilityStatement ({response.status_code})."
        )
    return _object(response.content, "The FHIR base")


def published_kids(address: str) -> frozenset[str]:
    """Return the ids of the keys at an address of our own; raise UpstreamFailed.

    Not through the egress door: the address is a setting, and no registration names it.
    """
    whose = "Sightline's own key set"
    try:
        with requests.Session() as session:
            session.trust_env = False
            with session.get(address, timeout=OWN_S, allow_redirects=False, stream=True) as answer:
                body = bytearray()
                for chunk in answer.iter_content(_CHUNK_BYTES):
                    body += chunk
                    if len(body) > _LIMIT_BYTES:
                        raise UpstreamFailed(f"{whose} is larger than a key set.")
    except requests.RequestException as error:
        raise UpstreamFailed(f"{whose} could not be reached.") from error
    if answer.status_code != 200:
        raise UpstreamFailed(f"{whose} answered {answer.status_code}.")
    return kids_in(_object(bytes(body), whose))


def kids_in(jwks: Mapping[str, Any]) -> frozenset[str]:
    """Return the ids of the keys of a JWK Set."""
    listed = jwks.get("keys")
    keys = listed if isinstance(listed, list) else []
    return frozenset(str(one.get("kid")) for one in keys if isinstance(one, dict))


def _object(body: bytes, whose: str) -> Mapping[str, Any]:
    try:
        document = bounded_json.parse(body)
    except ValueError as error:
        raise EhrAnswerInvalid(f"{whose} did not answer JSON.") from error
    if not isinstance(document, dict):
        raise EhrAnswerInvalid(f"{whose} did not answer a JSON object.")
    return document
