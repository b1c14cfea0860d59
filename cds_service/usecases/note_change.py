"""Note in the audit log what an administrator has changed.

Source: IHE BALP 1.1; threat T20 (an audit log that tells).
"""

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.usecases.ports import AuditLog, Clock

ADMINISTRATOR = "administrator"  # whoever may use the command line


def note_change(
    action: AuditAction, tenant_id: str, detail: str = "", *, audit: AuditLog, clock: Clock
) -> None:
    """Append a line about a change that was made; `detail` is in our own words, no secret."""
    audit.record(
        AuditEvent(
            action=action,
            at=clock(),
            tenant_id=tenant_id,
            agent=ADMINISTRATOR,
            outcome="success",
            detail=detail,
        )
    )
