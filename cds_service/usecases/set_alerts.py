"""Set how often cards may speak at one site; takes effect with the next hook.

Source: docs/reference/hook-service.md, "How often it speaks".
"""

from dataclasses import replace
from typing import Any

from cds_service.domain.alert import AlertPolicy
from cds_service.domain.audit import AuditAction
from cds_service.domain.tenant import Tenant
from cds_service.usecases.note_change import note_change
from cds_service.usecases.ports import AlertSettings, AuditLog, Clock


def set_alerts(
    tenant: Tenant,
    finding_code: str,
    changes: dict[str, Any],
    *,
    settings: AlertSettings,
    audit: AuditLog,
    clock: Clock,
) -> AlertPolicy:
    """Change these fields of a finding's policy ("": of all others') and return it.

    A finding that has no policy of its own starts from that of all others. Audited, since what
    is held back is a matter of patients' safety.
    """
    policy = replace(settings.policies(tenant.id).of(finding_code), **changes)
    settings.set_policy(tenant.id, finding_code, policy)
    said = ", ".join(f"{name}={value}" for name, value in sorted(changes.items()))
    detail = f"finding {finding_code or 'any'}: {said}"
    note_change(AuditAction.ALERTS_SET, tenant.id, detail, audit=audit, clock=clock)
    return policy
