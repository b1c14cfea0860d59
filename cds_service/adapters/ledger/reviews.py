"""What clinicians said about findings, and how far that is on its way into the chart.

Source: architecture "two buttons", "One job through the house" (lease, fencing token, sweep); ports
Reviews, ReviewWrites, WriteLeases, OverdueJobs.
"""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from cds_service.adapters.ledger.connection import insert_if_new, ledger_clock, reading, writing
from cds_service.adapters.ledger.schema import review, review_write
from cds_service.adapters.vault import Vault
from cds_service.domain.finding import Box
from cds_service.domain.review import (
    Reason,
    Review,
    ReviewWrite,
    Verdict,
    WriteLease,
    WriteState,
    reviewed_result,
    ring_of,
)
from cds_service.errors import LeaseLost
from cds_service.usecases.ports import Clock

PURPOSE = "review-comment"  # what the vault seals
# Longer than one write takes with every request at its timeout: nothing renews this lease.
LEASE = timedelta(minutes=2)
RING_AGAIN = timedelta(seconds=30)  # the sweep's own interval
WRITE_AGAIN = timedelta(minutes=1)  # to an EHR that was away
SWEEP_LIMIT = 500

_OF_NEW: dict[str, object] = {
    "state": WriteState.WAITING,
    "references": [],
    "lost": [],
    "error": None,
}


class SqlReviews:
    """The history of reviews; comments are sealed."""

    def __init__(self, engine: Engine, vault: Vault, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._vault = vault
        self._now = ledger_clock(clock)

    def record(self, new: Review, *, to_chart: bool) -> None:
        """Append it; with `to_chart` its result waits to be written, in one transaction."""
        values = {
            "tenant_id": new.tenant_id,
            "result_id": new.result_id,
            "finding_code": new.finding_code,
            "verdict": new.verdict,
            "reviewer": new.reviewer,
            "at": new.at,
            "reason": new.reason,
            "region": None if new.region is None else asdict(new.region),
            "sealed_comment": self._sealed(new),
        }
        with writing(self._engine) as connection:
            connection.execute(sa.insert(review).values(values))
            if to_chart:
                _wait(connection, new.result_id, self._now(connection))

    def of(self, result_id: str) -> list[Review]:
        """Return every review of this result, in the order in which they were recorded."""
        in_order = sa.select(review).where(review.c.result_id == result_id).order_by(review.c.seq)
        with reading(self._engine) as connection:
            return [self._review(row) for row in connection.execute(in_order)]

    def _sealed(self, new: Review) -> bytes | None:
        if new.comment is None:
            return None
        return self._vault.seal(PURPOSE, new.tenant_id, new.comment.encode())

    def _review(self, row: Row[tuple[object, ...]]) -> Review:
        region, sealed = row.region, row.sealed_comment
        return Review(
            tenant_id=row.tenant_id,
            result_id=row.result_id,
            finding_code=row.finding_code,
            verdict=Verdict(row.verdict),
            reviewer=row.reviewer,
            at=row.at,
            reason=None if row.reason is None else Reason(row.reason),
            region=None
            if region is None
            else Box(region["left"], region["top"], region["width"], region["height"]),
            comment=None
            if sealed is None
            else self._vault.open(PURPOSE, row.tenant_id, sealed).decode(),
        )


def _wait(connection: Connection, result_id: str, now: datetime) -> None:
    """Make the result wait; who holds its lease keeps it, and will see that there is more."""
    values = _OF_NEW | {
        "ring_at": now + RING_AGAIN,  # whoever recorded the review rings at once
        "waiting_since": now,
        "updated_at": now,
    }
    key = {"result_id": result_id, "changes": 1, "token": 0}
    if insert_if_new(connection, review_write, **key, **values):
        return
    waits = review_write.c.state == WriteState.WAITING
    since = sa.case((waits, review_write.c.waiting_since), else_=now)
    connection.execute(
        sa.update(review_write)
        .where(review_write.c.result_id == result_id)
        .values(values | {"changes": review_write.c.changes + 1, "waiting_since": since})
    )


class SqlReviewWrites:
    """The outbox of reviews."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._now = ledger_clock(clock)

    def of(self, result_id: str) -> ReviewWrite | None:
        """Return how far this result's reviews are; None when there is none to write."""
        of_result = sa.select(review_write).where(review_write.c.result_id == result_id)
        with reading(self._engine) as connection:
            row = connection.execute(of_result).one_or_none()
        if row is None:
            return None
        return ReviewWrite(
            result_id=row.result_id,
            state=WriteState(row.state),
            references=tuple(row.references),
            lost=tuple(row.lost),
            error=row.error,
        )

    def take(self, result_id: str) -> WriteLease | None:
        """Take the lease and raise the token by one; None when nothing waits or it is leased."""
        with writing(self._engine) as connection:
            now = self._now(connection)
            this = review_write.c.result_id == result_id
            taken = connection.execute(
                sa.update(review_write)
                .where(this, *_is_free(now))
                .values(
                    token=review_write.c.token + 1,
                    lease_expires_at=now + LEASE,
                    updated_at=now,
                )
            )
            if taken.rowcount != 1:
                return None
            row = connection.execute(sa.select(review_write).where(this)).one()
            return WriteLease(row.result_id, row.changes, row.token, row.waiting_since)

    def settle(
        self,
        lease: WriteLease,
        state: WriteState,
        *,
        references: tuple[str, ...] = (),
        lost: tuple[str, ...] = (),
    ) -> bool:
        """Note the outcome; False, and it waits on, when a newer review came; raise LeaseLost."""
        with writing(self._engine) as connection:
            now = self._now(connection)
            if self._release(connection, lease, now, ring_at=now) > lease.changes:
                return False
            connection.execute(
                sa.update(review_write)
                .where(review_write.c.result_id == lease.result_id)
                .values(state=state, references=list(references), lost=list(lost), error=None)
            )
            return True

    def postpone(self, lease: WriteLease, error: str) -> None:
        """Give the lease back; it is rung again after a minute. Raise LeaseLost.

        error   a class name such as "EhrBusy", never a text
        """
        with writing(self._engine) as connection:
            now = self._now(connection)
            self._release(connection, lease, now, ring_at=now + WRITE_AGAIN, error=error)

    def reclaim(self) -> list[str]:
        """Return what to ring; each is returned at most once in 30 s, to one supervisor."""
        with writing(self._engine) as connection:
            now = self._now(connection)
            overdue = (
                sa.select(review_write.c.result_id)
                .where(*_is_free(now), review_write.c.ring_at <= now)
                .order_by(review_write.c.ring_at)
                .limit(SWEEP_LIMIT)
                .with_for_update(skip_locked=True)  # PostgreSQL; SQLite has one writer
            )
            ids = list(connection.execute(overdue).scalars())
            connection.execute(
                sa.update(review_write)
                .where(review_write.c.result_id.in_(ids))
                .values(ring_at=now + RING_AGAIN)
            )
            return [ring_of(result_id) for result_id in ids]

    def unrung(self, rings: Sequence[str]) -> None:
        """Note that no worker heard of these: the next sweep returns them."""
        ids = [result_id for ring in rings if (result_id := reviewed_result(ring)) is not None]
        with writing(self._engine) as connection:
            now = self._now(connection)
            unheard = (review_write.c.result_id.in_(ids), *_is_free(now))
            connection.execute(sa.update(review_write).where(*unheard).values(ring_at=now))

    @staticmethod
    def _release(connection: Connection, lease: WriteLease, now: datetime, **values: object) -> int:
        """Give the lease back and return how many changes there are; raise LeaseLost."""
        this = review_write.c.result_id == lease.result_id
        held = (
            this,
            review_write.c.token == lease.token,
            review_write.c.lease_expires_at.is_not(None),
        )
        released = connection.execute(
            sa.update(review_write)
            .where(*held)
            .values(lease_expires_at=None, updated_at=now, **values)
        )
        if released.rowcount != 1:
            raise LeaseLost(f"The reviews of result {lease.result_id} are somebody else's now.")
        changes: int = connection.execute(
            sa.select(review_write.c.changes).where(this)
        ).scalar_one()
        return changes


def _is_free(now: datetime) -> tuple[sa.ColumnElement[bool], ...]:
    """Waiting, and held by nobody; a lease that ran out is nobody's."""
    expired = review_write.c.lease_expires_at <= now
    nobody = sa.or_(review_write.c.lease_expires_at.is_(None), expired)
    return review_write.c.state == WriteState.WAITING, nobody
