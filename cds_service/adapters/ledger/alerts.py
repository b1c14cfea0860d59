"""A site's alert settings, its counts, and what people did about findings.

Source: ports Alerts, AlertSettings; domain/alert.py has the rules.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from cds_service.adapters.ledger.connection import insert_if_new, reading, writing
from cds_service.adapters.ledger.schema import (
    alert_count,
    alert_policy,
    card_shown,
    feedback,
    review,
)
from cds_service.domain.alert import (
    AlertCount,
    AlertPolicies,
    AlertPolicy,
    Reaction,
    ReactionKind,
)
from cds_service.domain.card import Indicator
from cds_service.domain.review import Verdict


def _reactions() -> sa.CompoundSelect[Any]:
    """Select reviews and reports in one form; built once, because building it takes its time."""
    these: sa.BindParameter[Any] = sa.bindparam("results", expanding=True)
    no_text = sa.literal("")
    reviewed = sa.select(
        review.c.tenant_id,
        sa.case(
            (review.c.verdict == Verdict.WITHDRAWN, ReactionKind.WITHDRAWN.value),
            else_=ReactionKind.REVIEWED.value,
        ).label("kind"),
        review.c.result_id,
        review.c.finding_code,
        review.c.at.label("at"),
        no_text.label("card_uuid"),
        no_text.label("service_id"),
        no_text.label("hook"),
        review.c.reviewer.label("reader"),
    ).where(review.c.result_id.in_(these), review.c.verdict != Verdict.COMMENT)
    reported = (
        sa.select(
            card_shown.c.tenant_id,
            feedback.c.outcome,
            card_shown.c.result_id,
            card_shown.c.finding_code,
            feedback.c.outcome_at,
            card_shown.c.card_uuid,
            card_shown.c.service_id,
            card_shown.c.hook,
            sa.func.coalesce(card_shown.c.reader, ""),
        )
        .join_from(card_shown, feedback)
        .where(card_shown.c.result_id.in_(these), card_shown.c.finding_code.is_not(None))
    )
    return sa.union_all(reviewed, reported)


_REACTIONS = _reactions()


class SqlAlerts:
    """Alerts and AlertSettings."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def policies(self, tenant_id: str) -> AlertPolicies:
        """Return what the site set; one indexed read."""
        of_site = sa.select(alert_policy).where(alert_policy.c.tenant_id == tenant_id)
        with reading(self._engine) as connection:
            found = {row.finding_code: _policy(row) for row in connection.execute(of_site)}
        return AlertPolicies(found.pop("", AlertPolicy()), found)

    def set_policy(self, tenant_id: str, finding_code: str, policy: AlertPolicy) -> None:
        """Store it, over an earlier one; "" is every finding without its own."""
        with writing(self._engine) as connection:
            key = {"tenant_id": tenant_id, "finding_code": finding_code}
            if not insert_if_new(connection, alert_policy, **key, **asdict(policy)):
                connection.execute(
                    sa.update(alert_policy)
                    .where(*(alert_policy.c[name] == value for name, value in key.items()))
                    .values(asdict(policy))
                )

    def reactions(self, tenant_id: str, result_ids: Sequence[str]) -> list[Reaction]:
        """Return every review of, and every feedback on, these results; one indexed read."""
        with reading(self._engine) as connection:
            rows = connection.execute(_REACTIONS, {"results": list(result_ids)}).all()
        # Compared here: with the tenant in the statement SQLite reads all of its feedback first.
        own = [row for row in rows if row.tenant_id == tenant_id]
        return [Reaction(ReactionKind(row.kind), *row[2:]) for row in own]

    def spend(
        self,
        tenant_id: str,
        budgets: Mapping[str, int],
        wanted: Mapping[str, int],
        *,
        opens_chart: bool,
    ) -> dict[str, int]:
        """Count a chart and its notices in one transaction; return what each budget allows."""
        granted = {}
        with writing(self._engine) as connection:
            for name, budget in sorted(budgets.items()):  # one order, so that no two deadlock
                count = _held_count(connection, tenant_id, name)
                count = count.opened() if opens_chart else count
                count, granted[name] = count.spend(wanted.get(name, 0), budget)
                connection.execute(
                    sa.update(alert_count).where(*_of_budget(tenant_id, name)).values(asdict(count))
                )
        return granted

    def counts(self, tenant_id: str) -> dict[str, AlertCount]:
        """Return the count of each budget that was ever asked, by its name."""
        of_site = sa.select(alert_count).where(alert_count.c.tenant_id == tenant_id)
        with reading(self._engine) as connection:
            return {row.finding_code: _count(row) for row in connection.execute(of_site)}


def _held_count(connection: Connection, tenant_id: str, name: str) -> AlertCount:
    """Read one count, locked until the end of the transaction; the first asks makes its row."""
    key = {"tenant_id": tenant_id, "finding_code": name}
    insert_if_new(connection, alert_count, **key, **asdict(AlertCount()))
    locked = sa.select(alert_count).where(*_of_budget(tenant_id, name)).with_for_update()
    return _count(connection.execute(locked).one())


def _of_budget(tenant_id: str, name: str) -> tuple[sa.ColumnElement[bool], ...]:
    return alert_count.c.tenant_id == tenant_id, alert_count.c.finding_code == name


def _count(row: Row[tuple[object, ...]]) -> AlertCount:
    return AlertCount(row.charts, row.shown, row.held_back, row.held_back_ever)


def _policy(row: Row[tuple[object, ...]]) -> AlertPolicy:
    return AlertPolicy(
        minimum_indicator=Indicator(row.minimum_indicator),
        quiet_after_override=row.quiet_after_override,
        quiet_when_acknowledged=row.quiet_when_acknowledged,
        budget_per_100_charts=row.budget_per_100_charts,
        order_check_days=row.order_check_days,
    )
