"""Results, and what became of their write-back, in the ledger.

Source: architecture "Three keys"; ports WorkerResults, Publications.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

import sqlalchemy as sa
from sqlalchemy.engine import Engine, Row

from cds_service.adapters.ledger.connection import insert_if_new, ledger_clock, reading, writing
from cds_service.adapters.ledger.encoding import (
    analysis_document,
    analysis_from,
    time_from,
    time_text,
)
from cds_service.adapters.ledger.leases import update_held
from cds_service.adapters.ledger.moved import take_from_others
from cds_service.adapters.ledger.schema import publication, result
from cds_service.domain.finding import Result
from cds_service.domain.job import Lease
from cds_service.domain.publication import Publication, PublicationState
from cds_service.domain.standing import standing_results
from cds_service.errors import NotFound
from cds_service.usecases.ports import Clock

_EPOCH = datetime(1, 1, 1, tzinfo=UTC)  # where a study without a date sorts


class SqlResults:
    """What was found, per tenant, patient and study."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._now = ledger_clock(clock)

    def claim(self, lease: Lease) -> bool:
        """Take the study from every other patient; tell whether any had it; raise LeaseLost."""
        with writing(self._engine) as connection:
            now = self._now(connection)
            update_held(connection, lease, now)
            return take_from_others(connection, lease, now)

    def save(self, new: Result, lease: Lease) -> Result:
        """Store it, or make the stored one with the same key the newest again; raise LeaseLost."""
        with writing(self._engine) as connection:
            update_held(connection, lease, self._now(connection))
            is_new = insert_if_new(
                connection,
                result,
                id=new.id,
                key=new.key,
                tenant_id=new.tenant_id,
                patient_id=new.patient_id,
                study_uid=new.study_uid,
                imaging_study_id=new.imaging_study_id,
                study_started=time_text(new.study_started),
                study_description=new.study_description,
                analysis=analysis_document(new.analysis),
                computed_at=new.computed_at,
            )
            of_key = result.c.key == new.key
            if not is_new:
                again = {"computed_at": new.computed_at, "patient_id": new.patient_id}
                connection.execute(sa.update(result).where(of_key).values(again))
            stored = sa.select(result).where(of_key)
            return result_from(connection.execute(stored).one())

    def get(self, result_id: str) -> Result:
        """Return it; raise NotFound."""
        with reading(self._engine) as connection:
            row = connection.execute(
                sa.select(result).where(result.c.id == result_id)
            ).one_or_none()
        if row is None:
            raise NotFound("There is no such result.")
        return result_from(row)

    def of_models(self, tenant_id: str, patient_id: str, study_uids: Sequence[str]) -> list[Result]:
        """Return the newest result of each of these studies by each model; one indexed read."""
        listed = self._in_order(tenant_id, patient_id, result.c.study_uid.in_(study_uids))
        return list({(one.study_uid, one.analysis.model.id): one for one in listed}.values())

    def studies_of(self, tenant_id: str, patient_id: str) -> list[Result]:
        """Return the results of every study that stand, newest study and newest result first."""
        listed = self._in_order(tenant_id, patient_id)
        studies = groupby(listed, key=lambda one: one.study_uid)
        standing = [one for _, results in studies for one in standing_results(results)]
        return sorted(standing, key=_study_time, reverse=True)

    def _in_order(
        self, tenant_id: str, patient_id: str, *where: sa.ColumnElement[bool]
    ) -> list[Result]:
        # The order of the index: nothing is sorted, and the newest of a study comes last.
        in_order = (
            sa.select(result)
            .where(result.c.tenant_id == tenant_id, result.c.patient_id == patient_id, *where)
            .order_by(result.c.study_uid, result.c.computed_at)
        )
        with reading(self._engine) as connection:
            return [result_from(row) for row in connection.execute(in_order)]


class SqlPublications:
    """The outbox: what has been written back."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._now = ledger_clock(clock)

    def of(self, result_id: str) -> Publication | None:
        """Return what became of this result's write-back; None when never tried."""
        with reading(self._engine) as connection:
            row = connection.execute(
                sa.select(publication).where(publication.c.result_id == result_id)
            ).one_or_none()
        if row is None:
            return None
        return Publication(
            result_id=row.result_id,
            state=PublicationState(row.state),
            references=tuple(row.references),
            lost=tuple(row.lost),
        )

    def record(self, new: Publication, lease: Lease) -> None:
        """Store it, over what an earlier attempt left; raise LeaseLost."""
        with writing(self._engine) as connection:
            now = self._now(connection)
            update_held(connection, lease, now)
            values = {
                "state": new.state,
                "references": list(new.references),
                "lost": list(new.lost),
                "recorded_at": now,
            }
            if not insert_if_new(connection, publication, result_id=new.result_id, **values):
                of_result = publication.c.result_id == new.result_id
                connection.execute(sa.update(publication).where(of_result).values(values))


def _study_time(found: Result) -> datetime:
    started = found.study_started or _EPOCH
    return started if started.tzinfo else started.replace(tzinfo=UTC)


def result_from(row: Row[tuple[object, ...]]) -> Result:
    """Read a result."""
    return Result(
        id=row.id,
        key=row.key,
        tenant_id=row.tenant_id,
        patient_id=row.patient_id,
        study_uid=row.study_uid,
        imaging_study_id=row.imaging_study_id,
        study_started=time_from(row.study_started),
        study_description=row.study_description,
        analysis=analysis_from(row.analysis),
        computed_at=row.computed_at,
    )
