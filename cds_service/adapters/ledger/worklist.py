"""The studies of one EHR for its worklist, in two indexed reads and what they name.

Source: ports Worklist.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine, Row

from cds_service.adapters.ledger.connection import reading
from cds_service.adapters.ledger.jobs import job_from
from cds_service.adapters.ledger.results import result_from
from cds_service.adapters.ledger.schema import job, result
from cds_service.domain.worklist import Case, cases_of


class SqlWorklist:
    """Reads jobs and results together."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def cases(self, tenant_id: str, *, since: datetime, limit: int) -> list[Case]:
        """Return those asked for or analysed since then; of more than `limit` the newest."""
        lately = sa.union_all(
            sa.select(job.c.patient_id, job.c.study_uid, job.c.created_at.label("at")).where(
                job.c.tenant_id == tenant_id, job.c.created_at >= since
            ),
            sa.select(result.c.patient_id, result.c.study_uid, result.c.computed_at).where(
                result.c.tenant_id == tenant_id, result.c.computed_at >= since
            ),
        ).subquery()
        newest = (
            sa.select(lately.c.patient_id, lately.c.study_uid)
            .group_by(lately.c.patient_id, lately.c.study_uid)
            .order_by(sa.func.max(lately.c.at).desc())
            .limit(limit)
        )
        with reading(self._engine) as connection:
            keys = [(row.patient_id, row.study_uid) for row in connection.execute(newest)]
            jobs, results = (
                [
                    row
                    for row in connection.execute(
                        sa.select(table)
                        .where(
                            table.c.tenant_id == tenant_id,
                            table.c.patient_id.in_({patient for patient, _ in keys}),
                            table.c.study_uid.in_({uid for _, uid in keys}),
                        )
                        .order_by(made)
                    )
                ]
                for table, made in ((job, job.c.created_at), (result, result.c.computed_at))
            )
        said, asked = _by_study(results), _by_study(jobs)
        return [
            case
            for key in keys
            for case in cases_of(
                *key,
                [result_from(row) for row in said.get(key, ())],
                [job_from(row) for row in asked.get(key, ())],
            )
        ]


def _by_study(rows: Iterable[Row[Any]]) -> dict[tuple[str, str], list[Row[Any]]]:
    found: dict[tuple[str, str], list[Row[Any]]] = {}
    for row in rows:
        found.setdefault((row.patient_id, row.study_uid), []).append(row)
    return found
