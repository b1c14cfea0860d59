"""Refresh: a new token before the old one ends, asked for once however many pages are open.

A refresh token is used once. When nobody can know whether the EHR has taken it, the session ends
rather than showing it a second time, which many servers answer by revoking everything.

Source: SMART App Launch 2.2 "Refresh access token"; RFC 9700 4.14 (rotation).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import redis
from redis.exceptions import LockError, LockNotOwnedError

from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrBusy, EhrTimedOut, LaunchRefused, SessionEnded, UpstreamFailed
from smart_app.client_proof import proof_for
from smart_app.grant import refresh
from smart_app.services import AppServices
from smart_app.session import (
    TOKEN_LIFE_S,
    LaunchSession,
    SealedStore,
    away,
    lock_name,
    session_from,
    stored,
)

RENEW_BEFORE_S = 60
WAIT_S = 15.0  # of another tab's request for the one that refreshes
LOCK_LIFE_S = 90.0  # longer than one call to a token endpoint can take


def renewed(
    handle: str, session: LaunchSession, tenant: Tenant, house: AppServices
) -> LaunchSession:
    """Return the session with a token that is good for a while yet.

    Raises SessionEnded when the EHR does not refresh it, EhrBusy when it asks to come back, and
    EhrTimedOut when another request is at it for too long.
    """
    return _renewed_if(lambda one: _is_due(one, house), handle, session, tenant, house)


def replaced(
    handle: str, session: LaunchSession, tenant: Tenant, house: AppServices
) -> LaunchSession:
    """Return the session with another token than the one that the EHR has refused.

    Raises as `renewed`; SessionEnded also where no refresh token came with the refused one.
    """

    def is_refused(one: LaunchSession) -> bool:
        return one.access_token == session.access_token

    return _renewed_if(is_refused, handle, session, tenant, house)


def ended(handle: str, house: AppServices) -> SessionEnded:
    """End the session for good; return what to raise."""
    SealedStore(house.redis, house.vault).take("session", handle)
    return _ended()


def _renewed_if(
    needs_it: Callable[[LaunchSession], bool],
    handle: str,
    session: LaunchSession,
    tenant: Tenant,
    house: AppServices,
) -> LaunchSession:
    if not needs_it(session):
        return session
    store = SealedStore(house.redis, house.vault)
    with _alone(handle, house):
        value = store.get("session", handle)
        if value is None:
            raise _ended()
        current = session_from(value)  # another request may have been first
        if not needs_it(current):
            return current
        try:
            fresh = _refreshed(current, tenant, house)
        except EhrBusy:
            raise  # it has done nothing, so the token is as good as before
        except (LaunchRefused, UpstreamFailed) as error:
            raise ended(handle, house) from error
        store.put("session", handle, stored(fresh), fresh.life_s(house.clock().timestamp()))
        return fresh


def _is_due(session: LaunchSession, house: AppServices) -> bool:
    now = house.clock().timestamp()
    return (
        session.refresh_token is not None
        and now >= session.expires_at - RENEW_BEFORE_S
        and now < session.ends_at
    )


def _refreshed(session: LaunchSession, tenant: Tenant, house: AppServices) -> LaunchSession:
    if session.refresh_token is None:
        raise _ended()
    server = session.authorization_server
    access, patient = refresh(
        server,
        house.egress.session_for(tenant, also=(server.token_endpoint,)),
        refresh_token=session.refresh_token,
        proof=proof_for(tenant, server, house),
        scope=session.scope,
    )
    if patient is not None and session.patient is not None and patient != session.patient:
        raise LaunchRefused("The EHR has changed the patient of an open chart.")
    life_s = max(1, min(access.expires_in_s, TOKEN_LIFE_S))
    return replace(
        session,
        access_token=access.access_token,
        refresh_token=access.refresh_token or session.refresh_token,
        scope=access.scope,
        expires_at=min(house.clock().timestamp() + life_s, session.ends_at),
    )


@contextmanager
def _alone(handle: str, house: AppServices) -> Iterator[None]:
    lock = house.redis.lock(
        lock_name("session", handle), timeout=LOCK_LIFE_S, blocking_timeout=WAIT_S, sleep=0.05
    )
    try:
        if not lock.acquire():
            raise EhrTimedOut("The EHR takes long to renew the sign-in.")
    except redis.RedisError as error:
        raise away() from error
    try:
        yield
    finally:
        try:
            lock.release()
        except (LockNotOwnedError, LockError):
            pass  # it took longer than the lock lives: somebody else has it now
        except redis.RedisError as error:
            raise away() from error


def _ended() -> SessionEnded:
    return SessionEnded("The EHR has not renewed the sign-in.")
