"""The bell: an EHR's subscription rings, and the EHR is asked what is new.

A bell carries nothing, so one that is lost or that rings twice does no harm: whoever hears it
polls on from the kept place. Bells that come while a poll waits to begin are one.

Source: FHIR R4 Subscription (rest-hook); threats T7 and T18.
"""

import logging
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from hashlib import sha256
from hmac import compare_digest
from threading import Lock
from typing import Protocol

from cds_service.domain.intake import Bell, Door
from cds_service.domain.refusal import Refusal
from cds_service.domain.tenant import Tenant
from cds_service.errors import NotFound, SightlineError, TooManyCalls, UpstreamFailed
from cds_service.fhir.subscription import rest_hook
from cds_service.intake.poller import Poll
from cds_service.usecases.ports import IntakeBells, NewId, Resource, Tenants

log = logging.getLogger(__name__)


class Subscriptions(Protocol):
    """An EHR's Subscriptions, written with Backend Services."""

    def create(self, tenant: Tenant, subscription: Resource) -> str:
        """Return its logical id; raise UpstreamFailed."""

    def remove(self, tenant: Tenant, logical_id: str) -> None:
        """Remove it, or find that it is gone; raise UpstreamFailed."""


@dataclass(frozen=True)
class Belfry:
    """Knows the bells, and sends somebody to ask when one rings."""

    bells: IntakeBells
    tenants: Tenants
    limit: Callable[[Tenant], None]  # raises TooManyCalls
    lane: Callable[[str], Executor]  # of an EHR
    poll: Poll
    refused: Callable[[Refusal, str, str | None], None]  # why, from where, whose bell
    _waiting: set[str] = field(default_factory=set)
    _lock: Lock = field(default_factory=Lock)

    def hear(self, path: str, header: str, where: str) -> None:
        """Let the EHR be asked soon; raise NotFound, TooManyCalls, LedgerUnavailable.

        where   the address of who rings, for the audit log
        """
        bell = self.bells.at(_digest(path))
        if bell is None:
            self.refused(Refusal.UNKNOWN_CREDENTIAL, where, None)
            raise NotFound("There is no such bell.")
        tenant = self.tenants.get(bell.tenant_id)
        is_known = compare_digest(bell.header_digest, _digest(header))
        if not is_known or not tenant.opened(Door.SUBSCRIPTION):
            why = "door closed" if is_known else "wrong header"
            log.warning("bell refused: tenant=%s reason=%s", tenant.id, why)
            reason = Refusal.CLOSED if is_known else Refusal.UNKNOWN_CREDENTIAL
            self.refused(reason, where, tenant.id)
            raise NotFound("There is no such bell.")
        try:
            self.limit(tenant)
        except TooManyCalls:
            self.refused(Refusal.TOO_OFTEN, where, tenant.id)
            raise
        with self._lock:
            if tenant.id in self._waiting:
                return
            self._waiting.add(tenant.id)
        self.lane(tenant.id).submit(self._ask, tenant)

    def _ask(self, tenant: Tenant) -> None:
        with self._lock:  # before it reads: what rings from now on may be news
            self._waiting.discard(tenant.id)
        try:
            self.poll(tenant)
        except SightlineError as error:
            log.warning("bell in vain: tenant=%s error=%s", tenant.id, type(error).__name__)
        except Exception as error:  # the pool would keep it to itself
            log.error("bell failed: tenant=%s class=%s", tenant.id, type(error).__name__)


def subscribe(
    tenant: Tenant,
    base: str,
    *,
    bells: IntakeBells,
    subscriptions: Subscriptions,
    new_id: NewId,
) -> str:
    """Create the Subscription at the EHR, in place of an earlier one; return its logical id.

    base   address of the subscription door, without the secret part

    Raises UpstreamFailed; then the earlier one rings on.
    """
    path, header = new_id(), f"Bearer {new_id()}"
    earlier = bells.of(tenant.id)
    bell = Bell(tenant.id, _digest(path), _digest(header))
    bells.hang(bell)  # first: an EHR may ring before it answers
    try:
        logical_id = subscriptions.create(tenant, rest_hook(f"{base}/{path}", header))
    except SightlineError:
        if earlier is not None:
            bells.hang(earlier)
        raise
    bells.hang(replace(bell, subscription_id=logical_id))
    if earlier is not None and earlier.subscription_id is not None:
        try:
            subscriptions.remove(tenant, earlier.subscription_id)
        except UpstreamFailed as error:  # it rings in vain, until the EHR gives up
            log.warning("old subscription stays: tenant=%s %s", tenant.id, type(error).__name__)
    return logical_id


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()
