"""The grant: from a code, or a refresh token, to an access token and its launch context.

Source: SMART App Launch 2.2 "Obtain access token", "Launch context", "Refresh access token"; CDS
Hooks 2.0 `appContext`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import requests
from authlib.oauth2.rfc6749.parameters import prepare_token_request

from cds_service.errors import LaunchRefused
from smart_app.client_proof import ClientProof
from smart_app.discovery import AuthorizationServer
from smart_app.ehr_http import answer_of, object_in
from smart_app.scopes import LaunchKind

DEFAULT_LIFE_S = 300  # when a server does not say how long its token lives
_FHIR_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}")
_IMAGING_STUDY = re.compile(r"(?:.*/)?ImagingStudy/([A-Za-z0-9\-.]{1,64})(?:/_history/.*)?")
_APP_CONTEXT_KEYS = ("study", "job", "result")
BY_IDENTIFIER = "identifier="
LOCALE_LIMIT = 35  # characters of a BCP 47 tag (RFC 5646 4.4.1)
TEXT_LIMIT = 1024  # characters of what we keep from a token response


@dataclass(frozen=True, slots=True)
class Access:
    """A token and how long it is good for."""

    access_token: str = field(repr=False)
    scope: str
    expires_in_s: int
    refresh_token: str | None = field(repr=False)  # None: none came with it


@dataclass(frozen=True, slots=True)
class Grant:
    """What the first token response gave us."""

    access: Access
    id_token: str = field(repr=False)
    patient_id: str | None  # None: in a launch of kind "user"
    imaging_studies: tuple[str, ...]  # from fhirContext, role "launch": see `_imaging_studies`
    app_context: Mapping[str, str]  # of "study", "job", "result", what the card's link carried
    needs_patient_banner: bool
    style_url: str | None  # as the EHR says it: not checked yet
    intent: str | None
    organization: str | None  # `tenant`: who in a shared EHR launches
    locale: str | None = None  # BCP 47, where a server adds it to the launch


def redeem(
    server: AuthorizationServer,
    session: requests.Session,
    *,
    code: str,
    verifier: str,
    redirect_uri: str,
    proof: ClientProof,
    kind: LaunchKind,
    requested_scope: str,
) -> Grant:
    """Exchange the code; raise LaunchRefused when the server says no, UpstreamFailed otherwise."""
    body = prepare_token_request(
        "authorization_code",
        code=code,
        redirect_uri=redirect_uri,
        code_verifier=verifier,
        **proof.body,
    )
    return grant_from(
        _token_response(server, session, body, proof), kind=kind, requested_scope=requested_scope
    )


def refresh(
    server: AuthorizationServer,
    session: requests.Session,
    *,
    refresh_token: str,
    proof: ClientProof,
    scope: str,
) -> tuple[Access, str | None]:
    """Exchange a refresh token; return the new access, and the patient that the answer names.

    scope   as granted before: what the answer means when it names none

    Raises LaunchRefused when the server says no, UpstreamFailed otherwise.
    """
    body = prepare_token_request("refresh_token", refresh_token=refresh_token, **proof.body)
    document = _token_response(server, session, body, proof)
    return access_from(document, requested_scope=scope), _text(document, "patient")


def _token_response(
    server: AuthorizationServer, session: requests.Session, body: str, proof: ClientProof
) -> dict[str, Any]:
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/x-www-form-urlencoded",
        **proof.headers,
    }
    response = answer_of(lambda: session.post(server.token_endpoint, data=body, headers=headers))
    if response.status_code != 200:
        raise LaunchRefused("The EHR did not complete the sign-in.")
    return object_in(response)


def access_from(document: Mapping[str, Any], *, requested_scope: str) -> Access:
    """Read what every token response has; raise LaunchRefused without a bearer token."""
    token = document.get("access_token")
    if not isinstance(token, str) or str(document.get("token_type", "")).lower() != "bearer":
        raise LaunchRefused("The EHR did not give the app access.")
    scope = document.get("scope", requested_scope)
    return Access(
        access_token=token,
        scope=scope if isinstance(scope, str) else "",
        expires_in_s=_seconds(document.get("expires_in")),
        refresh_token=_text(document, "refresh_token", limit=8 * TEXT_LIMIT),
    )


def grant_from(document: Mapping[str, Any], *, kind: LaunchKind, requested_scope: str) -> Grant:
    """Read a token response; members that we do not know are ignored."""
    access = access_from(document, requested_scope=requested_scope)
    id_token = document.get("id_token")
    if not isinstance(id_token, str):
        raise LaunchRefused("The EHR did not say who you are.")
    return Grant(
        access=access,
        id_token=id_token,
        patient_id=None if kind is LaunchKind.USER else _patient(document),
        imaging_studies=_imaging_studies(document.get("fhirContext")),
        app_context=app_context_in(document.get("appContext")),
        needs_patient_banner=document.get("need_patient_banner") is not False,
        style_url=_text(document, "smart_style_url"),
        intent=_text(document, "intent"),
        organization=_text(document, "tenant"),
        locale=_text(document, "locale", limit=LOCALE_LIMIT),
    )


def _patient(document: Mapping[str, Any]) -> str:
    patient = document.get("patient")
    if not isinstance(patient, str) or not _FHIR_ID.fullmatch(patient):
        raise LaunchRefused("The EHR did not say which patient's chart is open.")
    return patient


def _text(document: Mapping[str, Any], name: str, *, limit: int = TEXT_LIMIT) -> str | None:
    value = document.get(name)
    return value if isinstance(value, str) and 0 < len(value) <= limit else None


def _seconds(value: object) -> int:
    """Return the token's life; some servers write the number as text."""
    text = str(value)
    return int(text) if text.isdecimal() and len(text) < 10 else DEFAULT_LIFE_S


def _imaging_studies(context: object) -> tuple[str, ...]:
    """Return the ImagingStudies that the launch is about; no role means "launch".

    Each is a logical id, or "identifier=<system>|<value>" where the launch names it so.
    """
    found = []
    for item in context if isinstance(context, list) else []:
        if not isinstance(item, dict) or item.get("role", "launch") != "launch":
            continue
        match = _IMAGING_STUDY.fullmatch(str(item.get("reference", "")))
        if match:
            found.append(match.group(1))
        elif item.get("type") == "ImagingStudy" and isinstance(item.get("identifier"), dict):
            found += _by_identifier(item["identifier"])
    return tuple(found)


def _by_identifier(identifier: Mapping[str, Any]) -> list[str]:
    system, value = (_text(identifier, name) for name in ("system", "value"))
    return [f"{BY_IDENTIFIER}{system or ''}|{value}"] if value else []


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
