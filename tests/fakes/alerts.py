"""A site's alert settings in memory, held to the same contract test as the real ones."""

from collections.abc import Mapping, Sequence

from cds_service.domain.alert import (
    AlertCount,
    AlertPolicies,
    AlertPolicy,
    Reaction,
    ReactionKind,
)
from cds_service.domain.review import Verdict
from tests.fakes.ledger import FakeCardLog
from tests.fakes.reviews import FakeReviews


class FakeAlerts:
    """Alerts and AlertSettings, over the cards and the reviews of the same ledger."""

    def __init__(self, cards: FakeCardLog, reviews: FakeReviews) -> None:
        self._cards, self._reviews = cards, reviews
        self._policies: dict[tuple[str, str], AlertPolicy] = {}
        self._counts: dict[tuple[str, str], AlertCount] = {}

    def policies(self, tenant_id: str) -> AlertPolicies:
        found = {code: one for (owner, code), one in self._policies.items() if owner == tenant_id}
        return AlertPolicies(found.pop("", AlertPolicy()), found)

    def set_policy(self, tenant_id: str, finding_code: str, policy: AlertPolicy) -> None:
        self._policies[tenant_id, finding_code] = policy

    def reactions(self, tenant_id: str, result_ids: Sequence[str]) -> list[Reaction]:
        found = [
            Reaction(
                ReactionKind.WITHDRAWN
                if one.verdict is Verdict.WITHDRAWN
                else ReactionKind.REVIEWED,
                one.result_id,
                one.finding_code,
                one.at,
                reader=one.reviewer,
            )
            for one in self._reviews.all
            if one.tenant_id == tenant_id
            and one.result_id in result_ids
            and one.verdict is not Verdict.COMMENT
        ]
        for report in self._cards.reports.values():
            card = self._cards.cards[report.tenant_id, report.card_uuid]
            is_asked = report.tenant_id == tenant_id and card.result_id in result_ids
            if is_asked and card.finding_code is not None:
                found.append(
                    Reaction(
                        ReactionKind(report.outcome.value),
                        card.result_id or "",
                        card.finding_code,
                        report.outcome_at,
                        card.card_uuid,
                        card.service_id or "",
                        card.hook or "",
                        card.reader or "",
                    )
                )
        return found

    def spend(
        self,
        tenant_id: str,
        budgets: Mapping[str, int],
        wanted: Mapping[str, int],
        *,
        opens_chart: bool,
    ) -> dict[str, int]:
        granted = {}
        for name, budget in budgets.items():
            count = self._counts.get((tenant_id, name), AlertCount())
            count = count.opened() if opens_chart else count
            count, granted[name] = count.spend(wanted.get(name, 0), budget)
            self._counts[tenant_id, name] = count
        return granted

    def counts(self, tenant_id: str) -> dict[str, AlertCount]:
        return {name: one for (owner, name), one in self._counts.items() if owner == tenant_id}
