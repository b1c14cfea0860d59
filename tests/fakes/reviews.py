"""Reviews and their way to the chart in memory, held to the same contract test as the real ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from cds_service.domain.review import (
    Review,
    ReviewWrite,
    WriteLease,
    WriteState,
    reviewed_result,
    ring_of,
)
from cds_service.errors import LeaseLost
from cds_service.usecases.ports import Clock
from tests.fakes.ledger import FakeClock

LEASE = timedelta(minutes=2)
RING_AGAIN = timedelta(seconds=30)
WRITE_AGAIN = timedelta(minutes=1)


@dataclass
class _Entry:
    """One result whose reviews are to be written."""

    write: ReviewWrite
    waiting_since: datetime
    ring_at: datetime
    changes: int = 0
    token: int = 0
    expires_at: datetime | None = None


@dataclass
class FakeReviews:
    """Reviews; `writes` is the other face of the same ledger."""

    clock: Clock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.all: list[Review] = []
        self.writes = FakeReviewWrites(self.clock)

    def record(self, review: Review, *, to_chart: bool) -> None:
        self.all.append(review)
        if to_chart:
            self.writes.wait(review.result_id)

    def of(self, result_id: str) -> list[Review]:
        return [review for review in self.all if review.result_id == result_id]


class FakeReviewWrites:
    """ReviewWrites, WriteLeases and OverdueJobs."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[str, _Entry] = {}

    def wait(self, result_id: str) -> None:
        """Take note that there is something new to be written."""
        now = self._clock()
        waiting = ReviewWrite(result_id, WriteState.WAITING)
        entry = self._entries.setdefault(result_id, _Entry(waiting, now, now))
        if entry.write.state is not WriteState.WAITING:
            entry.waiting_since = now
        entry.write, entry.ring_at, entry.changes = waiting, now + RING_AGAIN, entry.changes + 1

    def of(self, result_id: str) -> ReviewWrite | None:
        entry = self._entries.get(result_id)
        return None if entry is None else entry.write

    def take(self, result_id: str) -> WriteLease | None:
        entry = self._entries.get(result_id)
        if entry is None or not self._is_free(entry):
            return None
        entry.token += 1
        entry.expires_at = self._clock() + LEASE
        return WriteLease(result_id, entry.changes, entry.token, entry.waiting_since)

    def settle(
        self,
        lease: WriteLease,
        state: WriteState,
        *,
        references: tuple[str, ...] = (),
        lost: tuple[str, ...] = (),
    ) -> bool:
        entry = self._released(lease)
        if entry.changes > lease.changes:
            entry.ring_at = self._clock()
            return False
        entry.write = ReviewWrite(lease.result_id, state, references, lost)
        return True

    def postpone(self, lease: WriteLease, error: str) -> None:
        entry = self._released(lease)
        entry.ring_at = self._clock() + WRITE_AGAIN
        entry.write = replace(entry.write, error=error)

    def reclaim(self) -> list[str]:
        now = self._clock()
        overdue = [
            entry
            for entry in self._entries.values()
            if self._is_free(entry) and entry.ring_at <= now
        ]
        for entry in overdue:
            entry.ring_at = now + RING_AGAIN
        return [ring_of(entry.write.result_id) for entry in overdue]

    def unrung(self, rings: Sequence[str]) -> None:
        for ring in rings:
            self._entries[reviewed_result(ring) or ""].ring_at = self._clock()

    def _is_free(self, entry: _Entry) -> bool:
        is_held = entry.expires_at is not None and entry.expires_at > self._clock()
        return entry.write.state is WriteState.WAITING and not is_held

    def _released(self, lease: WriteLease) -> _Entry:
        entry = self._entries[lease.result_id]
        if entry.token != lease.token or entry.expires_at is None:
            raise LeaseLost(f"The reviews of result {lease.result_id} are somebody else's now.")
        entry.expires_at = None
        return entry
