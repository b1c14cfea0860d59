"""Keep what the EHR reports about the cards that its clinicians saw.

Source: CDS Hooks 2.0 "Feedback".
"""

from collections.abc import Sequence

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.card import Feedback
from cds_service.usecases.ports import AuditLog, CardLog, Clock


def record_feedback(
    reports: Sequence[Feedback], *, cards: CardLog, audit: AuditLog, clock: Clock
) -> int:
    """Store each report once and return how many were about cards of that tenant.

    A report about a card that this tenant was never shown is left out and audited; the
    answer to the client need not differ, or it would tell which cards exist.
    Raises LedgerUnavailable; then the client may send all of them again.
    """
    stored = 0
    for report in reports:
        is_known = cards.record(report)
        stored += is_known
        audit.record(
            AuditEvent(
                action=AuditAction.FEEDBACK_RECEIVED,
                at=clock(),
                tenant_id=report.tenant_id,
                agent="cds-client",
                outcome="success" if is_known else "NotFound",
                detail=report.outcome.value,
            )
        )
    return stored
