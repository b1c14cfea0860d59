"""When an EHR is left alone: it said so (Retry-After), or it did not answer time after time.

A hung EHR would hold a thread for each hook until its deadline, and so the hooks of the others.

Source: RFC 9110 10.2.3 (Retry-After: seconds or a date), 6.6.1 (Date).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrBusy

# It may answer later; Oracle says 500 for both kinds of trouble.
BUSY = frozenset({408, 429, 500, 502, 503, 504})
LONGEST_PAUSE_S = 60.0  # whatever the EHR says
FAILURES = 5  # in a row
PAUSE_S = 10.0  # then a read may try again, and one failure is enough


@dataclass(slots=True)
class _Patience:
    failures: int = 0
    quiet_until: float = float("-inf")


class Pauses:
    """What this process knows about each EHR's wish to be left alone."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._of: dict[str, _Patience] = {}

    def require_none(self, tenant: Tenant) -> None:
        """Raise EhrBusy while this EHR is left alone."""
        if self._clock() < self._patience(tenant).quiet_until:
            raise EhrBusy("The EHR is left alone for a while.")

    def failed(self, tenant: Tenant) -> None:
        """Note that it was late or busy."""
        patience = self._patience(tenant)
        patience.failures += 1
        if patience.failures >= FAILURES:
            self._pause(patience, PAUSE_S)

    def answered(self, tenant: Tenant) -> None:
        """Note that it answered, whatever it said."""
        self._patience(tenant).failures = 0

    def asked_for(self, tenant: Tenant, headers: Mapping[str, str]) -> None:
        """Note the Retry-After of a busy answer, if it has one."""
        seconds = retry_after_s(headers)
        if seconds is not None:
            self._pause(self._patience(tenant), min(seconds, LONGEST_PAUSE_S))

    def _pause(self, patience: _Patience, seconds: float) -> None:
        patience.quiet_until = max(patience.quiet_until, self._clock() + seconds)

    def _patience(self, tenant: Tenant) -> _Patience:
        return self._of.setdefault(tenant.id, _Patience())


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait, 0 for a date that is over; None without a readable value.

    A date is measured against the answer's own Date, if it has one: clocks differ.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return float(value)
    at = _moment(value)
    if at is None:
        return None
    now = _moment(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (at - now).total_seconds())


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
