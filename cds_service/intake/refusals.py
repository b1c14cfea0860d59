"""Note in the audit log what the inbound doors refuse: a flood is some lines, no full ledger.

Of the calls that one address makes and one door refuses for one reason, the first is a line, and
the tenth, the hundredth and so on, each with their number. After an hour they are counted anew.

Source: threats T18 (a flood) and T20 (an audit log that tells).
"""

import logging
from datetime import datetime, timedelta
from threading import Lock

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.intake import Door
from cds_service.domain.refusal import Refusal
from cds_service.errors import LedgerUnavailable
from cds_service.usecases.ports import AuditLog, Clock

log = logging.getLogger(__name__)

WINDOW = timedelta(hours=1)
CALLERS = 100  # that are told apart of one kind in one window; all others are one
OTHERS = "other addresses"

_Kind = tuple[Door, str | None, Refusal]  # the second: tenant


class Refusals:
    """Counts what one process refuses."""

    def __init__(self, audit: AuditLog, clock: Clock) -> None:
        self._audit, self._clock = audit, clock
        self._since: datetime | None = None
        self._counts: dict[_Kind, dict[str, int]] = {}  # by where from
        self._lock = Lock()

    def note(self, door: Door, why: Refusal, where: str, tenant_id: str | None = None) -> None:
        """Count one call that is refused; never raises, since it is refused in any case.

        where       the address, nothing that the caller says of itself
        tenant_id   whose the door or the credential is, where that is known
        """
        now = self._clock()
        with self._lock:
            if self._since is None or now - self._since >= WINDOW:
                self._since, self._counts = now, {}
            callers = self._counts.setdefault((door, tenant_id, why), {})
            if where not in callers and len(callers) >= CALLERS:
                where = OTHERS
            count = callers[where] = callers.get(where, 0) + 1
            since = self._since
        if not _is_power_of_ten(count):
            return
        event = AuditEvent(
            action=AuditAction.CALL_REFUSED,
            at=now,
            tenant_id=tenant_id,
            agent=door.value,
            outcome=why.value,
            detail=where if count == 1 else f"{where}, {count} since {since:%Y-%m-%d %H:%M}",
        )
        try:
            self._audit.record(event)
        except LedgerUnavailable:
            log.warning("a refused call is not in the audit log: door=%s reason=%s", door, why)


def _is_power_of_ten(count: int) -> bool:
    return str(count).rstrip("0") == "1"
