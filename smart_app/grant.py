"""The grant: from an authorization code to an access token and its launch context.

Source: SMART App Launch 2.2 "Obtain access token", "Launch context"; CDS Hooks 2.0 `appContext`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from authlib.oauth2.rfc6749.parameters import prepare_token_request

from cds_service.errors import LaunchRefused
from smart_app.discovery import AuthorizationServer
from smart_app.ehr_http import answer_of, object_in

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
DEFAULT_LIFE_S = 300  # when a server does not say how long its token lives
_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_IMAGING_STUDY = re.compile(r"(?:.*/)?ImagingStudy/([A-Za-z0-9\-.]{1,64})(?:/_history/.*)?")
_APP_CONTEXT_KEYS = ("study", "job", "result")


@dataclass(frozen=True, slots=True)
class Grant:
    """What the token response gave us."""

    access_token: str = field(repr=False)
    id_token: str = field(repr=False)
    scope: str
    expires_in_s: int
    patient_id: str
    imaging_studies: tuple[str, ...]  # logical ids from fhirContext, role "launch"
    app_context: Mapping[str, str]  # of "study", "job", "result", what the card's link carried
    needs_patient_banner: bool


def redeem(
    server: AuthorizationServer,
    session: requests.Session,
    *,
    code: str,
    verifier: str,
    redirect_uri: str,
    assertion: str,
) -> Grant:
    """Exchange the code; raise LaunchRefused when the server says no, UpstreamFailed otherwise."""
    body = prepare_token_request(
        "authorization_code",
        code=code,
        redirect_uri=redirect_uri,
        code_verifier=verifier,
        client_assertion_type=ASSERTION_TYPE,
        client_assertion=assertion,
    )
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    response = answer_of(lambda: session.post(server.token_endpoint, data=body, headers=headers))
    if response.status_code != 200:
        raise LaunchRefused("The EHR did not complete the sign-in.")
    return grant_from(object_in(response), requested_scope=server.scope)


def grant_from(document: Mapping[str, Any], *, requested_scope: str) -> Grant:
    """Read a token response; members that we do not know are ignored."""
    token, id_token = document.get("access_token"), document.get("id_token")
    if not isinstance(token, str) or str(document.get("token_type", "")).lower() != "bearer":
        raise LaunchRefused("The EHR did not give the app access.")
    if not isinstance(id_token, str):
        raise LaunchRefused("The EHR did not say who you are.")
    patient = document.get("patient")
    if not isinstance(patient, str) or not _FHIR_ID.fullmatch(patient):
        raise LaunchRefused("The EHR did not say which patient's chart is open.")
    scope = document.get("scope", requested_scope)
    return Grant(
        access_token=token,
        id_token=id_token,
        scope=scope if isinstance(scope, str) else "",
        expires_in_s=_seconds(document.get("expires_in")),
        patient_id=patient,
        imaging_studies=_imaging_studies(document.get("fhirContext")),
        app_context=app_context_in(document.get("appContext")),
        needs_patient_banner=document.get("need_patient_banner") is not False,
    )


def _seconds(value: object) -> int:
    """Return the token's life; some servers write the number as text."""
    text = str(value)
    return int(text) if text.isdecimal() and len(text) < 10 else DEFAULT_LIFE_S


def _imaging_studies(context: object) -> tuple[str, ...]:
    """Return the ImagingStudies that the launch is about; no role means "launch"."""
    found = []
    for item in context if isinstance(context, list) else []:
        if not isinstance(item, dict) or item.get("role", "launch") != "launch":
            continue
        match = _IMAGING_STUDY.fullmatch(str(item.get("reference", "")))
        if match:
            found.append(match.group(1))
    return tuple(found)


def app_context_in(text: object) -> dict[str, str]:
    """Return what the card's link carried; what is not ours is no context."""
    try:
        context = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return {}
    if not isinstance(context, dict):
        return {}
    return {
        key: value
        for key in _APP_CONTEXT_KEYS
        if isinstance(value := context.get(key), str) and 0 < len(value) <= 128
    }
