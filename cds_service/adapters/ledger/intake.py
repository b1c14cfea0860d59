"""What the intake doors keep in the ledger: how far each has read, and which bells may ring.

Source: ports IntakeCursors, IntakeBells.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine, Row

from cds_service.adapters.ledger.connection import (
    insert_if_new,
    ledger_clock,
    reading,
    writing,
)
from cds_service.adapters.ledger.schema import intake_bell, intake_cursor
from cds_service.domain.intake import Bell, Door
from cds_service.usecases.ports import Clock


class SqlIntakeCursors:
    """The intake_cursor table."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine, self._now = engine, ledger_clock(clock)

    def position(self, tenant_id: str, door: Door) -> Mapping[str, Any]:
        """Return what was kept last; empty before the first time."""
        with reading(self._engine) as connection:
            kept = connection.execute(
                sa.select(intake_cursor.c.position).where(_is(tenant_id, door))
            ).scalar_one_or_none()
        return {} if kept is None else dict(kept)

    def kept_at(self, tenant_id: str, door: Door) -> datetime | None:
        """Return when this door last read; None before its first time."""
        with reading(self._engine) as connection:
            return connection.execute(
                sa.select(intake_cursor.c.updated_at).where(_is(tenant_id, door))
            ).scalar_one_or_none()

    def keep(self, tenant_id: str, door: Door, position: Mapping[str, Any]) -> None:
        """Put this in its place."""
        with writing(self._engine) as connection:
            values = {"position": dict(position), "updated_at": self._now(connection)}
            key = {"tenant_id": tenant_id, "door": door.value}
            if not insert_if_new(connection, intake_cursor, **key, **values):
                connection.execute(
                    sa.update(intake_cursor).where(_is(tenant_id, door)).values(**values)
                )


class SqlIntakeBells:
    """The intake_bell table."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine, self._now = engine, ledger_clock(clock)

    def hang(self, bell: Bell) -> None:
        """Store it, over this EHR's earlier one."""
        with writing(self._engine) as connection:
            connection.execute(
                sa.delete(intake_bell).where(intake_bell.c.tenant_id == bell.tenant_id)
            )
            connection.execute(
                sa.insert(intake_bell).values(
                    tenant_id=bell.tenant_id,
                    path_digest=bell.path_digest,
                    header_digest=bell.header_digest,
                    subscription_id=bell.subscription_id,
                    created_at=self._now(connection),
                )
            )

    def of(self, tenant_id: str) -> Bell | None:
        """Return this EHR's bell."""
        return self._one(intake_bell.c.tenant_id == tenant_id)

    def at(self, path_digest: str) -> Bell | None:
        """Return the bell with this path; one indexed read."""
        return self._one(intake_bell.c.path_digest == path_digest)

    def _one(self, condition: sa.ColumnElement[bool]) -> Bell | None:
        with reading(self._engine) as connection:
            row = connection.execute(sa.select(intake_bell).where(condition)).one_or_none()
        return None if row is None else _bell(row)


def _is(tenant_id: str, door: Door) -> sa.ColumnElement[bool]:
    return sa.and_(intake_cursor.c.tenant_id == tenant_id, intake_cursor.c.door == door.value)


def _bell(row: Row[tuple[object, ...]]) -> Bell:
    return Bell(row.tenant_id, row.path_digest, row.header_digest, row.subscription_id)
