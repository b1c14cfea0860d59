"""Launches and their sessions: sealed in Redis, bound to one browser, one per launch.

The browser holds an id in the address and a secret in a cookie of the same launch; both are
needed, so an address that is copied elsewhere opens nothing, and two charts never mix.

Source: SMART App Launch 2.2 "App protection"; threats T6, T8; privacycg/CHIPS (Partitioned).
"""

import json
import logging
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

import redis
from flask import Response

from cds_service.domain.hook import FhirAuthorization
from cds_service.domain.smart_scope import allows
from cds_service.errors import DoorbellSilent, NotFound, SightlineError
from cds_service.usecases.review_finding import LaunchFacts
from smart_app.discovery import AuthorizationServer
from smart_app.scopes import LaunchKind
from smart_app.services import Vault

log = logging.getLogger(__name__)

PENDING_LIFE_S = 600  # from the click in the chart to the callback
TOKEN_LIFE_S = 3600  # at most; a session without a refresh token ends with its token
SESSION_LIFE_S = 8 * 3600  # at most, however often its token is refreshed
IDLE_LIFE_S = 900  # after the token: who comes back later signs in again
OPEN_CHARTS = 40  # of one browser; gunicorn takes 8190 bytes of cookies, and each has about 95
KEY_PREFIX = "sightline:app:"
COOKIE_PREFIX = "__Host-sightline-"  # the browser refuses one of this name from elsewhere
_SESSION_COOKIE = re.compile(rf"{COOKIE_PREFIX}[0-9a-f]{{32}}")


@dataclass(frozen=True, slots=True)
class PendingLaunch:
    """A launch that is at the EHR's authorization server."""

    tenant_id: str
    browser: str  # digest of the launch cookie's value
    cookie: str  # its name
    server: Mapping[str, Any]  # AuthorizationServer, pinned against mix-up
    kind: LaunchKind
    scope: str  # as asked for
    verifier: str = field(repr=False)
    nonce: str = field(repr=False)
    app_context: Mapping[str, str] = field(default_factory=dict)  # of a link that carried it


@dataclass(frozen=True, slots=True)
class LaunchSession:
    """One chart, or one user's own work, opened in one browser."""

    tenant_id: str
    kind: LaunchKind
    patient: str | None  # logical id; None where kind is "user"
    subject: str
    fhir_user: str | None
    scope: str
    expires_at: float  # of the token; seconds since the epoch
    ends_at: float  # of the session, at the latest
    server: Mapping[str, Any]  # AuthorizationServer, as at the sign-in
    app_context: Mapping[str, str]
    imaging_studies: tuple[str, ...]
    needs_patient_banner: bool
    browser: str  # digest of the session cookie's value
    csrf_token: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)
    style_url: str | None = None  # at one of the EHR's own origins
    intent: str | None = None
    organization: str | None = None  # of several in one EHR: its `tenant`
    locale: str | None = None  # the user's, as the sign-in states it
    languages: tuple[str, ...] = ()  # and as their record does: BCP 47, the preferred first
    roles: tuple[str, ...] = ()  # "PractitionerRole/7", as at the sign-in

    @property
    def patient_id(self) -> str:
        """The patient whose chart is open; raise NotFound in a session without one."""
        if self.patient is None:
            raise NotFound("No patient's chart is open here.")
        return self.patient

    @property
    def authorization_server(self) -> AuthorizationServer:
        """The server that gave the token, and refreshes it."""
        return AuthorizationServer(**self.server)

    def may(self, resource_type: str, right: str) -> bool:
        """Tell whether the granted scopes allow one of "c r u d s" on this type."""
        return allows(self.scope, resource_type, right)

    def life_s(self, now: float) -> int:
        """Return for how long from `now` the session is to be kept, at least 1 s."""
        until = self.expires_at
        if self.refresh_token is not None:
            until = min(self.ends_at, self.expires_at + IDLE_LIFE_S)
        return max(1, int(until - now))

    @property
    def facts(self) -> LaunchFacts:
        """What the use cases know of this launch."""
        return LaunchFacts(self.tenant_id, self.patient_id, self.fhir_user, self.roles)

    @property
    def agent(self) -> str:
        """Who acts, for the audit log."""
        return self.fhir_user or f"user:{self.subject}"

    def authorization(self, now: float) -> FhirAuthorization:
        """Return the launch's token for a read at the EHR."""
        life = max(0, int(self.expires_at - now))
        return FhirAuthorization(self.access_token, self.scope, life, self.patient)


class SealedStore:
    """Values in Redis that only this installation can read, each with an end.

    client  answers bytes (no decode_responses); its own timeouts bound every call

    A handle is "<tenant id>.<secret>"; Redis sees its digest, and the vault binds the value to
    the tenant, to its kind and to that digest.
    """

    def __init__(self, client: redis.Redis, vault: Vault) -> None:
        self._redis, self._vault = client, vault

    def put(self, kind: str, handle: str, value: Mapping[str, Any], life_s: int) -> None:
        """Keep the value for so many seconds; raise DoorbellSilent when Redis is away."""
        name = _name(kind, handle)
        sealed = self._vault.seal(name, tenant_of(handle), json.dumps(value).encode())
        try:
            self._redis.set(KEY_PREFIX + name, sealed, ex=life_s)
        except redis.RedisError as error:
            raise away() from error

    def get(self, kind: str, handle: str) -> dict[str, Any] | None:
        """Return the value, or None when it has ended."""
        return self._opened(kind, handle, self._redis.get)

    def take(self, kind: str, handle: str) -> dict[str, Any] | None:
        """Return the value and end it: whoever asks second gets None."""
        return self._opened(kind, handle, self._redis.getdel)

    def gone(self, cookies: Sequence[str]) -> list[str]:
        """Return which of these sessions' cookies open nothing any more."""
        if not cookies:
            return []
        keys = [f"{KEY_PREFIX}session:{name.removeprefix(COOKIE_PREFIX)}" for name in cookies]
        try:
            with self._redis.pipeline(transaction=False) as pipe:
                for key in keys:
                    pipe.exists(key)
                is_kept = pipe.execute()
        except redis.RedisError as error:
            raise away() from error
        return [name for name, kept in zip(cookies, is_kept, strict=True) if not kept]

    def _opened(self, kind: str, handle: str, read: Callable[[str], Any]) -> dict[str, Any] | None:
        name = _name(kind, handle)
        try:
            sealed = read(KEY_PREFIX + name)
        except redis.RedisError as error:
            raise away() from error
        if sealed is None:
            return None
        try:
            plain = self._vault.open(name, tenant_of(handle), sealed)
        except SightlineError:
            # Changed, or sealed under an older master key: either way this launch is over.
            log.warning("app: a sealed %s did not open, tenant=%s", kind, tenant_of(handle))
            return None
        value: dict[str, Any] = json.loads(plain)
        return value


def drop_old_cookies(
    response: Response, given: Mapping[str, str], store: SealedStore, keep: str
) -> None:
    """Take back the cookies of sessions that have ended, and the oldest beyond OPEN_CHARTS.

    given   the request's cookies; a browser sends the oldest first (RFC 6265 5.4)
    keep    the name of the one that is being set
    """
    ours = [name for name in given if _SESSION_COOKIE.fullmatch(name) and name != keep]
    gone = store.gone(ours)
    alive = [name for name in ours if name not in set(gone)]
    for name in [*gone, *alive[: max(0, len(alive) + 1 - OPEN_CHARTS)]]:
        drop_cookie(response, name)


def lock_name(kind: str, handle: str) -> str:
    """Name the lock of one value, for whoever changes it."""
    return f"{KEY_PREFIX}lock:{_name(kind, handle)}"


def new_handle(tenant_id: str) -> str:
    """Return a fresh handle with 256 random bits."""
    return f"{tenant_id}.{secrets.token_urlsafe(32)}"


def tenant_of(handle: str) -> str:
    """Return the tenant that a handle claims; only an existing value proves it."""
    return handle.rpartition(".")[0]


def cookie_of(handle: str) -> str:
    """Name the cookie of one session."""
    return COOKIE_PREFIX + _digest(handle)


def set_cookie(response: Response, name: str, value: str, life_s: int) -> None:
    """Give the browser one of our cookies; it must also arrive inside an EHR's frame."""
    response.set_cookie(
        name,
        value,
        max_age=life_s,
        path="/",
        secure=True,
        httponly=True,
        samesite="None",
        partitioned=True,
    )


def drop_cookie(response: Response, name: str) -> None:
    """Take the cookie back."""
    set_cookie(response, name, "", 0)


def digest_of(secret: str) -> str:
    """Return what we keep of a cookie's value."""
    return sha256(secret.encode()).hexdigest()


def reader_of(tenant_id: str, subject: str) -> str:
    """Name a signed-in user towards their own browser, without saying who it is."""
    return digest_of(f"{tenant_id} {subject}")[:16]


def is_same_browser(kept_digest: str, secret: str | None) -> bool:
    """Tell whether this cookie value is the one that the digest was made of."""
    return secret is not None and secrets.compare_digest(kept_digest, digest_of(secret))


def pending_from(value: Mapping[str, Any]) -> PendingLaunch:
    """Read a pending launch as it was put."""
    return PendingLaunch(**{**value, "kind": LaunchKind(value["kind"])})


def session_from(value: Mapping[str, Any]) -> LaunchSession:
    """Read a session as it was put."""
    lists = ("imaging_studies", "languages", "roles")
    tuples = {name: tuple(value[name]) for name in lists if name in value}
    return LaunchSession(**{**value, **tuples, "kind": LaunchKind(value["kind"])})


def stored(value: PendingLaunch | LaunchSession) -> dict[str, Any]:
    """Return the value as it is put."""
    return asdict(value)


def _name(kind: str, handle: str) -> str:
    return f"{kind}:{_digest(handle)}"


def _digest(handle: str) -> str:
    """Return 128 bits that name a handle and do not tell it."""
    return sha256(handle.encode()).hexdigest()[:32]


def away() -> DoorbellSilent:
    """Return what to raise when Redis is away."""
    return DoorbellSilent("Sightline cannot keep a session right now.")
