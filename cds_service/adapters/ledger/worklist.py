"""The studies of one EHR for its worklist, in two indexed reads and what they name.

Source: ports Worklist.
"""

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine, Row

from cds_service.adapters.ledger.connection import reading
from cds_service.adapters.ledger.jobs import job_from
from cds_service.adapters.ledger.results import result_from
from cds_service.adapters.ledger.schema import job, result
from cds_service.domain.finding import MOVED
from cds_service.domain.worklist import Case, Window, cases_of

# How the ledger writes a finding that is there and critical. Free text cannot hold either: a quote
# in it is escaped. A result that has them in two findings is read too, and judged by its values.
_CRITICAL = ('%"critical":true%', '%"present":true%')
_MOVED = f"{MOVED}%"  # to another patient: the first one's no more
_DAY = 10  # characters of an ISO 8601 time: the day, by the EHR's own offset


class SqlWorklist:
    """Reads jobs and results together."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def cases(
        self,
        tenant_id: str,
        window: Window,
        *,
        limit: int,
        skip: int = 0,
        only_critical: bool = False,
    ) -> list[Case]:
        """Return the cases of at most `limit` studies, the newest first, after `skip` of them."""
        found = [_results_in(tenant_id, window, only_critical)]
        if not only_critical:
            found.append(_jobs_in(tenant_id, window))
        lately = sa.union_all(*found).subquery()
        newest = (
            sa.select(lately.c.patient_id, lately.c.study_uid)
            .group_by(lately.c.patient_id, lately.c.study_uid)
            .order_by(sa.func.max(lately.c.at).desc(), lately.c.patient_id, lately.c.study_uid)
            .limit(limit)
            .offset(skip)
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


def _results_in(
    tenant_id: str, window: Window, only_critical: bool
) -> sa.Select[tuple[str, str, Any]]:
    text = sa.cast(result.c.analysis, sa.String)
    return sa.select(
        result.c.patient_id, result.c.study_uid, result.c.computed_at.label("at")
    ).where(
        result.c.tenant_id == tenant_id,
        result.c.computed_at >= window.since,
        result.c.patient_id.not_like(_MOVED),
        *_taken_in(result.c.study_started, window),
        *(text.like(pattern) for pattern in (_CRITICAL if only_critical else ())),
    )


def _jobs_in(tenant_id: str, window: Window) -> sa.Select[tuple[str, str, Any]]:
    return sa.select(job.c.patient_id, job.c.study_uid, job.c.created_at.label("at")).where(
        job.c.tenant_id == tenant_id,
        job.c.created_at >= window.since,
        job.c.patient_id.not_like(_MOVED),
        *_taken_in(job.c.study["started"].as_string(), window),
    )


def _taken_in(started: sa.ColumnElement[Any], window: Window) -> list[sa.ColumnElement[bool]]:
    day = sa.func.substr(started, 1, _DAY)
    first = [] if window.first is None else [day >= window.first.isoformat()]
    return first if window.last is None else [*first, day <= window.last.isoformat()]


def _by_study(rows: Iterable[Row[Any]]) -> dict[tuple[str, str], list[Row[Any]]]:
    found: dict[tuple[str, str], list[Row[Any]]] = {}
    for row in rows:
        found.setdefault((row.patient_id, row.study_uid), []).append(row)
    return found
