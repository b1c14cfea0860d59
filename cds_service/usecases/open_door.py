"""Open an intake door of one EHR, or close it; takes effect with the next study.

Source: docs/how-to/feed-studies.md.
"""

from cds_service.domain.audit import AuditAction
from cds_service.domain.intake import CHANGE_FEEDS, Door
from cds_service.domain.tenant import Tenant
from cds_service.errors import RegistrationRefused
from cds_service.usecases.note_change import note_change
from cds_service.usecases.ports import AuditLog, Clock, DoorRegister


def open_door(
    tenant: Tenant,
    door: Door,
    *,
    change_feed: str | None = None,
    register: DoorRegister,
    audit: AuditLog,
    clock: Clock,
) -> None:
    """Let studies come in here; audited.

    change_feed   checked base of the archive's change feed, for the doors that read one

    Raises RegistrationRefused with a sentence that says what the registration lacks, NotFound.
    """
    if door in CHANGE_FEEDS:
        if not (change_feed or tenant.change_feed):
            raise RegistrationRefused(
                f"The door {door.value} needs the address of its feed: --feed URL."
            )
        _require_only_feed(tenant, door)
    elif change_feed:
        raise RegistrationRefused(f"The door {door.value} reads no change feed.")
    if door is Door.DICOMWEB_POLLING and not tenant.web_archives:
        raise RegistrationRefused(
            "The EHR's registration names no DICOMweb archive to ask: --archive URL."
        )
    if not tenant.backend_services:
        raise RegistrationRefused("The EHR's registration allows no reads of our own.")
    if change_feed:
        register.set_change_feed(tenant.id, change_feed)
    register.set_door(tenant.id, door, is_open=True)
    note_change(AuditAction.INTAKE_OPENED, tenant.id, door.value, audit=audit, clock=clock)


def _require_only_feed(tenant: Tenant, door: Door) -> None:
    """Refuse a second one: a registration has one address, and both would read it."""
    for other in CHANGE_FEEDS - {door}:
        if tenant.opened(other):
            raise RegistrationRefused(
                f"A registration has one change feed: close {other.value} first."
            )


def close_door(
    tenant: Tenant, door: Door, *, register: DoorRegister, audit: AuditLog, clock: Clock
) -> None:
    """Let no study in here any more; audited. Jobs that were asked for go on."""
    register.set_door(tenant.id, door, is_open=False)
    note_change(AuditAction.INTAKE_CLOSED, tenant.id, door.value, audit=audit, clock=clock)
