"""Take a pushed instance: a place on disk, a look at what it is, a line in the ledger.

Both pushing doors end here. What was taken is visible to nobody until `settle_inbox` has bound it.

Source: DICOM PS3.4 B.2.3, PS3.18 10.5; threats T12 and T18.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from cds_service.domain.inbox import Failure, PushedInstance, Quota
from cds_service.domain.intake import Door
from cds_service.domain.tenant import Tenant
from cds_service.errors import InstanceRefused, NotFound
from cds_service.usecases.ports import Tenants


class Arrival(Protocol):
    """One instance that is arriving, in a file of its own."""

    size: int

    @property
    def head(self) -> bytearray:
        """Its first bytes, as far as a header may be parsed."""

    @property
    def digest(self) -> str:
        """SHA-256 of what has come."""

    def write(self, chunk: bytes) -> None:
        """Append; raise InboxFull."""

    def keep(self) -> None:
        """Put it on disk for good; raise InboxFull."""

    def discard(self) -> None:
        """Erase it unless it was kept."""


class Files(Protocol):
    """Where pushed bytes go."""

    def begin(self, tenant_id: str, limit_bytes: int) -> AbstractContextManager[Arrival]:
        """Open a new file; raise InboxFull."""


class Index(Protocol):
    """What is held."""

    def room(self, tenant_id: str, quota: Quota) -> int:
        """Return how many bytes the next instance may have; raise InboxFull when none."""

    def add(
        self, tenant_id: str, instance: PushedInstance, digest: str, size: int, quota: Quota
    ) -> bool:
        """Note it; False when it is held already. Raise InstanceRefused, InboxFull."""


@dataclass(frozen=True, slots=True)
class Inbox:
    """What a pushing door needs to take instances."""

    tenants: Tenants
    files: Files
    index: Index
    identify: Callable[[bytes], PushedInstance]  # raises InstanceRefused
    quota: Quota

    def tenant_at(self, door: Door, tenant_id: str) -> Tenant:
        """Return the tenant whose door this is; raise NotFound unless it is open."""
        tenant = self.tenants.get(tenant_id)
        if not tenant.opened(door):
            raise NotFound("This door is closed.")
        return tenant

    def begin(self, tenant_id: str) -> AbstractContextManager[Arrival]:
        """Make room for one instance; raise InboxFull."""
        return self.files.begin(tenant_id, self.index.room(tenant_id, self.quota))

    def look(self, arrival: Arrival) -> PushedInstance:
        """Return what it is by its own words; raise InstanceRefused."""
        return self.identify(bytes(arrival.head))

    def take(
        self,
        tenant_id: str,
        arrival: Arrival,
        instance: PushedInstance,
        *,
        study_uid: str | None = None,
        said: tuple[str, str] | None = None,
    ) -> None:
        """Keep what has come.

        instance    what `look` said that it is
        study_uid   the only study that is expected, if one is
        said        SOP class and SOP instance as the sender called it, if it did

        Raises InstanceRefused, InboxFull.
        """
        if study_uid not in (None, instance.study_uid):
            raise InstanceRefused(Failure.MISMATCH, "It is of another study.")
        if said not in (None, (instance.sop_class, instance.sop_uid)):
            raise InstanceRefused(Failure.MISMATCH, "It is another instance than was announced.")
        self.index.add(tenant_id, instance, arrival.digest, arrival.size, self.quota)
        # After the line, so that a crash in between leaves no file that nobody knows of; also when
        # the line was there, since that crash may be the reason why it is sent again.
        arrival.keep()
