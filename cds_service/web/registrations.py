"""The registered EHRs as the front door sees them: as they are, or as they last were.

Whom to trust is asked of the ledger at every call. What is public, discovery and which pages may
read it, stays so while the ledger is away.

Source: CDS Hooks 2.0 "Discovery" (ch2:5: always available), "CORS".
"""

import logging

from cds_service.domain.tenant import Tenant
from cds_service.errors import LedgerUnavailable
from cds_service.usecases.ports import Tenants

log = logging.getLogger(__name__)


class Registrations:
    """Reads the Tenants port and remembers what it read, in the memory of this process."""

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants
        self._last: list[Tenant] | None = None

    def all(self) -> list[Tenant]:
        """Return every tenant, by name; raise LedgerUnavailable."""
        self._last = tenants = self._tenants.all()
        return tenants

    def last_known(self) -> list[Tenant]:
        """Return every tenant, as last read while the ledger is away.

        Raises LedgerUnavailable when this process never read them.
        """
        try:
            return self.all()
        except LedgerUnavailable:
            if self._last is None:
                raise
            log.warning("the ledger is away: registrations as last read")
            return self._last
