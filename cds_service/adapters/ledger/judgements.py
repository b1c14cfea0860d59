"""What was reported about cards, joined to the finding and the model version behind each.

Source: CDS Hooks 2.0 "Feedback"; domain/judgement.py.
"""

import sqlalchemy as sa
from sqlalchemy.engine import Engine, Row

from cds_service.adapters.ledger.connection import reading
from cds_service.adapters.ledger.encoding import analysis_from, coding_from
from cds_service.adapters.ledger.schema import card_shown, feedback, result
from cds_service.domain.card import Feedback, Outcome
from cds_service.domain.judgement import Judgement


class SqlJudgements:
    """Reads the feedback of one EHR."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def of(self, tenant_id: str) -> list[Judgement]:
        """Return every report of this EHR, the oldest first."""
        statement = (
            sa.select(feedback, card_shown.c.result_id, card_shown.c.finding_code)
            .add_columns(result.c.analysis)
            .join_from(feedback, card_shown)
            .outerjoin(result, card_shown.c.result_id == result.c.id)
            .where(feedback.c.tenant_id == tenant_id)
            .order_by(feedback.c.outcome_at, feedback.c.card_uuid, feedback.c.outcome)
        )
        with reading(self._engine) as connection:
            return [_judgement(row) for row in connection.execute(statement)]


def _judgement(row: Row[tuple[object, ...]]) -> Judgement:
    report = Feedback(
        tenant_id=row.tenant_id,
        card_uuid=row.card_uuid,
        outcome=Outcome(row.outcome),
        outcome_at=row.outcome_at,
        reason=None if row.reason is None else coding_from(row.reason),
        has_comment=row.has_comment,
        suggestion_ids=tuple(row.suggestion_ids),
    )
    model = None if row.analysis is None else analysis_from(row.analysis).model
    return Judgement(report, row.result_id, row.finding_code, model)
