"""Alert burden: which notices a site does not want to see again, and how many it wants at all.

Nothing here holds back a critical notice but an acknowledgement, and what a budget holds back is
counted where people see it.

Source: docs/reference/hook-service.md, "How often it speaks"; CDS Hooks 2.0 "Feedback".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from cds_service.domain.card import Indicator, Outcome
from cds_service.domain.hook import FINDINGS_SERVICE, ORDER_SERVICE, Hook

CHARTS = 100  # that one budget is for


@dataclass(frozen=True, slots=True)
class AlertPolicy:
    """What one site wants for one finding; the defaults are those of a new registration."""

    minimum_indicator: Indicator = Indicator.INFO
    quiet_after_override: bool = True
    quiet_when_acknowledged: bool = True
    budget_per_100_charts: int | None = None  # None: no limit
    order_check_days: int = 30  # how old a comparable study may be; 0: no order check

    def __post_init__(self) -> None:
        if self.budget_per_100_charts is not None and self.budget_per_100_charts < 0:
            raise ValueError("a budget is not negative")
        if not 0 <= self.order_check_days <= 3650:
            raise ValueError("the order check looks back 0 to 3650 days")


@dataclass(frozen=True, slots=True)
class AlertPolicies:
    """One site's policies: one for each finding that has its own, one for all others."""

    default: AlertPolicy = field(default_factory=AlertPolicy)
    of_finding: Mapping[str, AlertPolicy] = field(default_factory=dict)  # by finding code

    def of(self, finding_code: str) -> AlertPolicy:
        """Return the policy of this finding."""
        return self.of_finding.get(finding_code, self.default)

    def budget_of(self, finding_code: str) -> str:
        """Name the budget that this finding draws on: its own, or "", the one of all others."""
        return finding_code if finding_code in self.of_finding else ""

    def budgets(self) -> dict[str, int]:
        """Return every budget that is limited, by name."""
        policies = {"": self.default, **self.of_finding}
        limits = {name: policy.budget_per_100_charts for name, policy in policies.items()}
        return {name: limit for name, limit in limits.items() if limit is not None}


class ReactionKind(StrEnum):
    """What somebody did about a finding."""

    REVIEWED = "reviewed"  # agreed or disagreed in the app
    WITHDRAWN = "withdrawn"  # took such a review back
    ACCEPTED = Outcome.ACCEPTED.value
    OVERRIDDEN = Outcome.OVERRIDDEN.value


@dataclass(frozen=True, slots=True)
class Reaction:
    """One reaction to one finding of one result; a review has no card here."""

    kind: ReactionKind
    result_id: str
    finding_code: str
    at: datetime
    card_uuid: str = ""
    service_id: str = ""
    hook: str = ""
    # Keyed hash of the user, "" when the hook named none; of a review, who reviewed.
    reader: str = ""


# An order check asks a question, so that either button answers it: "keep the order" at
# order-select is not asked again at order-sign.
_ANSWERS = {
    FINDINGS_SERVICE: {ReactionKind.OVERRIDDEN},
    ORDER_SERVICE: {ReactionKind.OVERRIDDEN, ReactionKind.ACCEPTED},
}


@dataclass(frozen=True, slots=True)
class Standing:
    """What has become of one finding of one result, as one reader meets it at one hook."""

    is_acknowledged: bool = False  # by anybody
    is_answered: bool = False  # by this reader, who need not be asked again


def standing(
    reactions: Iterable[Reaction],
    *,
    result_id: str,
    finding_code: str,
    service_id: str,
    hook: str,
    reader: str,
) -> Standing:
    """Judge one finding.

    A result that changed has another id, so everything is said anew. An override somewhere else
    does not silence the discharge: there the unacknowledged finding is the message.
    """
    about = [r for r in reactions if (r.result_id, r.finding_code) == (result_id, finding_code)]
    last = {_source(one): one for one in _in_order(about)}
    at_discharge = hook == Hook.ENCOUNTER_DISCHARGE
    return Standing(
        is_acknowledged=service_id == FINDINGS_SERVICE
        and any(_acknowledges(one) for one in last.values()),
        is_answered=any(
            one.kind in _ANSWERS[service_id]
            and reader != ""
            and (one.reader, one.service_id) == (reader, service_id)
            and (not at_discharge or one.hook == hook)
            for one in last.values()
        ),
    )


def acknowledged_at(
    reactions: Iterable[Reaction], *, result_id: str, finding_code: str
) -> datetime | None:
    """Return since when a finding is acknowledged; None while nobody has, or all took it back."""
    about = [r for r in reactions if (r.result_id, r.finding_code) == (result_id, finding_code)]
    since: dict[tuple[str, str], datetime] = {}
    for one in _in_order(about):
        if _acknowledges(one):
            since.setdefault(_source(one), one.at)
        else:
            since.pop(_source(one), None)
    return min(since.values(), default=None)


def _in_order(reactions: Iterable[Reaction]) -> list[Reaction]:
    # At the same instant an override is the later one: then more people are told, not fewer.
    return sorted(reactions, key=lambda r: (r.at, r.kind is ReactionKind.OVERRIDDEN))


def _source(one: Reaction) -> tuple[str, str]:
    """Of the reports about one card the last one counts, and of the reviews each person's."""
    return (one.card_uuid, "") if one.card_uuid else ("", one.reader)


def _acknowledges(one: Reaction) -> bool:
    is_of_findings = one.service_id == FINDINGS_SERVICE
    return one.kind is ReactionKind.REVIEWED or (
        one.kind is ReactionKind.ACCEPTED and is_of_findings
    )


def is_held_back(indicator: Indicator, standing: Standing, policy: AlertPolicy) -> bool:
    """Tell whether a notice is not to be shown, before any budget is asked."""
    if policy.quiet_when_acknowledged and standing.is_acknowledged:
        return True
    if indicator is Indicator.CRITICAL:
        return False
    if policy.quiet_after_override and standing.is_answered:
        return True
    return indicator.rank < policy.minimum_indicator.rank


@dataclass(frozen=True, slots=True)
class AlertCount:
    """What was counted since the current hundred of charts began, and held back ever."""

    charts: int = 0
    shown: int = 0
    held_back: int = 0
    held_back_ever: int = 0

    def opened(self) -> "AlertCount":
        """Count one chart more; after the hundredth the count begins anew."""
        if self.charts >= CHARTS:
            return AlertCount(charts=1, held_back_ever=self.held_back_ever)
        return replace(self, charts=self.charts + 1)

    def spend(self, wanted: int, budget: int) -> tuple["AlertCount", int]:
        """Return the count after `wanted` notices and how many of them the budget allows."""
        granted = min(wanted, max(0, budget - self.shown))
        refused = wanted - granted
        after = AlertCount(
            charts=self.charts,
            shown=self.shown + granted,
            held_back=self.held_back + refused,
            held_back_ever=self.held_back_ever + refused,
        )
        return after, granted
