"""What is only ever appended: cards shown, feedback, used JWT ids, the audit log.

Source: CDS Hooks 2.0 "Feedback", "Trusting CDS Clients" (jti); ports CardLog, Replays, AuditLog.
"""

from collections.abc import Collection
from dataclasses import asdict, fields
from datetime import datetime, timedelta
from hashlib import sha256
from itertools import count

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger.connection import (
    appending,
    insert_if_new,
    ledger_clock,
    reading,
    writing,
)
from cds_service.adapters.ledger.schema import audit_event, card_shown, feedback, used_jti
from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.card import Feedback, ShownCard
from cds_service.usecases.ports import Clock

# A token is accepted for a leeway after its exp, so its jti is kept longer than that.
KEEP_EXPIRED = timedelta(minutes=10)
SWEEP_EVERY = 100  # uses between two clean-ups, so that the hook path is one statement


class SqlCardLog:
    """Which card was shown about what, and the feedback on it."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._now = ledger_clock(clock)

    def shown(self, tenant_id: str, *cards: ShownCard) -> None:
        """Remember cards, all in one write (idempotent)."""
        with (appending if len(cards) == 1 else writing)(self._engine) as connection:
            now = self._now(connection)
            for card in cards:
                insert_if_new(
                    connection, card_shown, tenant_id=tenant_id, shown_at=now, **asdict(card)
                )

    def record(self, new: Feedback) -> bool:
        """Store it once; False when the card is not one that this tenant was shown."""
        of_card = sa.select(card_shown.c.card_uuid).where(
            card_shown.c.tenant_id == new.tenant_id, card_shown.c.card_uuid == new.card_uuid
        )
        with writing(self._engine) as connection:
            if connection.execute(of_card).first() is None:
                return False
            insert_if_new(
                connection,
                feedback,
                tenant_id=new.tenant_id,
                card_uuid=new.card_uuid,
                outcome=new.outcome,
                outcome_at=new.outcome_at,
                reason=None if new.reason is None else asdict(new.reason),
                has_comment=new.has_comment,
                suggestion_ids=list(new.suggestion_ids),
            )
            return True


class SqlReplays:
    """The JWT ids that were used; only their digests are kept, until they are worthless."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._now = ledger_clock(clock)
        self._uses = count(1)

    def use_once(self, issuer: str, jti: str, expires_at: datetime) -> bool:
        """Note it; False when it was used before. Raise LedgerUnavailable."""
        digest = sha256(f"{len(issuer)}:{issuer}{jti}".encode()).hexdigest()
        with appending(self._engine) as connection:
            if next(self._uses) % SWEEP_EVERY == 0:
                old = used_jti.c.expires_at < self._now(connection) - KEEP_EXPIRED
                connection.execute(sa.delete(used_jti).where(old))
            return insert_if_new(connection, used_jti, digest=digest, expires_at=expires_at)


class SqlAuditLog:
    """The append-only audit log; the database refuses changes to it too."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def record(self, event: AuditEvent) -> None:
        """Append it."""
        with appending(self._engine) as connection:
            connection.execute(sa.insert(audit_event).values(asdict(event)))

    def newest(
        self, actions: Collection[AuditAction], *, since: datetime, limit: int = 1000
    ) -> list[AuditEvent]:
        """Return what was done in these ways since then, newest first."""
        columns = [audit_event.c[field.name] for field in fields(AuditEvent)]
        chosen = (
            sa.select(*columns)
            .where(audit_event.c.action.in_(actions), audit_event.c.at >= since)
            .order_by(audit_event.c.at.desc(), audit_event.c.seq.desc())
            .limit(limit)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(chosen).mappings().all()
        return [AuditEvent(**{**row, "action": AuditAction(row["action"])}) for row in rows]
