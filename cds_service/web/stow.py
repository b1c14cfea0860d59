"""The STOW-RS door: an archive pushes instances over HTTP, each straight to disk.

Whose they are says the credential, a bearer token or the certificate that the proxy saw, and never
the address: one that names another tenant is not found.

Source: DICOM PS3.18 10.5 (Store Transaction), I.2 (Store Instances Response Module); threat T18.
"""

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from json import dumps
from threading import Semaphore
from typing import Any, cast

from flask import Blueprint, Response, current_app, request

from cds_service.domain.inbox import CredentialKind, Failure, PushedInstance
from cds_service.domain.intake import Door
from cds_service.domain.refusal import Refusal
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    BodyTooLarge,
    InboxFull,
    InstanceRefused,
    MediaTypeRefused,
    NotFound,
    PushRefused,
    TooManyCalls,
    UntrustedClient,
)
from cds_service.intake.inbox import Inbox
from cds_service.web.caller import calling_from
from cds_service.web.problems import install
from cds_service.web.stalled_body import StalledBody
from cds_service.web.stow_parts import boundary_of, parts

log = logging.getLogger(__name__)

EXTENSION = "sightline-stow"  # its place in Flask's `app.extensions`
DICOM_JSON = "application/dicom+json"
INSTANCES_PER_REQUEST = 5000
UPLOADS = 4  # at a time, in each web process
RETRY_AFTER_S = 5
STALL_S = 30.0  # for one piece of a body
_BEARER = re.compile(r"Bearer ([A-Za-z0-9_-]{20,200})", re.IGNORECASE)
_UID = re.compile(r"[0-9.]{1,64}")

blueprint = Blueprint("stow", __name__)
install(blueprint)


@dataclass(frozen=True, slots=True)
class StowDoor:
    """What the door needs from the house."""

    inbox: Inbox
    tenant_of: Callable[[CredentialKind, str], str | None]  # digest of a credential -> tenant id
    # The proxy's header with the client's certificate -> its SHA-256; None: no proxy checks any.
    certificate_digest: Callable[[str], str | None] | None
    certificate_header: str
    body_limit_bytes: int
    turns: Semaphore  # uploads at a time, in this process: hooks need its other threads
    refused: Callable[[Refusal, str, str | None], None]  # why, from where, whose credential
    stall_s: float = STALL_S


@dataclass(slots=True)
class _Outcome:
    """What became of each part of one request."""

    stored: list[PushedInstance] = field(default_factory=list)
    failed: list[tuple[int, PushedInstance | None]] = field(default_factory=list)
    is_full: bool = False


@blueprint.post("/dicom-web/<tenant_id>/studies")
@blueprint.post("/dicom-web/<tenant_id>/studies/<study_uid>")
def store(tenant_id: str, study_uid: str | None = None) -> Response:
    """Take the instances of one request; the answer names each, taken or not and why."""
    door = cast(StowDoor, current_app.extensions[EXTENSION])
    tenant = _tenant(door, tenant_id)
    if study_uid is not None and not _UID.fullmatch(study_uid):
        raise PushRefused("The address names no study.")
    try:
        outcome = _taken(door, tenant, study_uid)
    except (BodyTooLarge, TooManyCalls) as error:
        is_large = isinstance(error, BodyTooLarge)
        why = Refusal.TOO_LARGE if is_large else Refusal.TOO_OFTEN
        door.refused(why, calling_from(), tenant.id)
        raise
    if outcome.is_full:
        door.refused(Refusal.FULL, calling_from(), tenant.id)
    log.info(
        "pushed: tenant=%s door=stow-rs stored=%d failed=%d",
        tenant.id,
        len(outcome.stored),
        len(outcome.failed),
    )
    return _answer(outcome)


def _taken(door: StowDoor, tenant: Tenant, study_uid: str | None) -> _Outcome:
    if (request.content_length or 0) > door.body_limit_bytes:
        raise BodyTooLarge("The body is larger than this service reads at once.")
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise MediaTypeRefused("The body is compressed: send it without Content-Encoding.")
    boundary = boundary_of(request.headers.get("Content-Type", ""))
    if not door.turns.acquire(blocking=False):
        raise TooManyCalls(RETRY_AFTER_S, tenant_name=tenant.name)
    try:
        return _received(door, tenant, study_uid, boundary)
    finally:
        door.turns.release()


def _received(door: StowDoor, tenant: Tenant, study_uid: str | None, boundary: bytes) -> _Outcome:
    outcome = _Outcome()
    with StalledBody(door.stall_s) as body:
        for number, pieces in enumerate(parts(_capped(door.body_limit_bytes, body), boundary)):
            if number >= INSTANCES_PER_REQUEST:
                raise BodyTooLarge("The body has more parts than this service reads at once.")
            _take(pieces, door.inbox, tenant, study_uid, outcome)
    return outcome


def _tenant(door: StowDoor, tenant_id: str) -> Tenant:
    """Return whose credential this is; raise UntrustedClient, or NotFound behind a closed door."""
    owner = _owner(door)
    if owner is None:
        door.refused(Refusal.UNKNOWN_CREDENTIAL, calling_from(), None)
        raise UntrustedClient("no known credential of a pushing archive")
    if owner != tenant_id:
        door.refused(Refusal.OTHER_EHR, calling_from(), owner)
        raise NotFound("There is no such address for this archive.")
    try:
        return door.inbox.tenant_at(Door.STOW_RS, owner)
    except NotFound:
        door.refused(Refusal.CLOSED, calling_from(), owner)
        raise


def _owner(door: StowDoor) -> str | None:
    bearer = _BEARER.fullmatch(request.headers.get("Authorization", ""))
    if bearer is not None:
        return door.tenant_of(CredentialKind.TOKEN, sha256(bearer[1].encode()).hexdigest())
    if door.certificate_digest is None:
        return None
    digest = door.certificate_digest(request.headers.get(door.certificate_header, ""))
    return None if digest is None else door.tenant_of(CredentialKind.CERTIFICATE, digest)


def _capped(limit_bytes: int, body: StalledBody) -> Callable[[int], bytes]:
    """Read the body, also one of unknown length, up to the limit."""
    left = limit_bytes

    def read(count: int) -> bytes:
        nonlocal left
        piece = request.stream.read(min(count, left + 1))
        body.heard()
        left -= len(piece)
        if left < 0:
            raise BodyTooLarge("The body is larger than this service reads at once.")
        return piece

    return read


def _take(
    pieces: Iterator[bytes], inbox: Inbox, tenant: Tenant, study_uid: str | None, outcome: _Outcome
) -> None:
    instance: PushedInstance | None = None
    try:
        with inbox.begin(tenant.id) as arrival:
            for piece in pieces:
                arrival.write(piece)
            instance = inbox.look(arrival)
            inbox.take(tenant.id, arrival, instance, study_uid=study_uid)
        outcome.stored.append(instance)
    except InstanceRefused as error:
        outcome.failed.append((error.failure, instance))
    except InboxFull:
        outcome.failed.append((Failure.OUT_OF_RESOURCES, instance))
        outcome.is_full = True


def _answer(outcome: _Outcome) -> Response:
    """Make the response of PS3.18 10.5.3; a full inbox is 507 when nothing was taken."""
    if not outcome.stored and not outcome.failed:
        raise PushRefused("The body has no part.")
    named = [(reason, one) for reason, one in outcome.failed if one is not None]
    others = [reason for reason, one in outcome.failed if one is None]
    body: dict[str, Any] = {}
    for tag, items in (
        ("00081198", [_item(one) | {"00081197": _us(reason)} for reason, one in named]),
        ("00081199", [_item(one) for one in outcome.stored]),
        ("0008119A", [{"00081197": _us(reason)} for reason in others]),
    ):
        if items:
            body[tag] = {"vr": "SQ", "Value": items}
    return Response(dumps(body), _status(outcome), content_type=DICOM_JSON)


def _status(outcome: _Outcome) -> int:
    if not outcome.failed:
        return 200
    if outcome.stored:
        return 202
    return InboxFull.http_status if outcome.is_full else 409


def _item(instance: PushedInstance) -> dict[str, Any]:
    return {
        "00081150": {"vr": "UI", "Value": [instance.sop_class]},
        "00081155": {"vr": "UI", "Value": [instance.sop_uid]},
    }


def _us(value: int) -> dict[str, Any]:
    return {"vr": "US", "Value": [int(value)]}
