"""Turn notices into at most three cards, inside the site's budget, and remember what was shown.

What no card is left for stays reachable: further studies behind a link, what the budget holds back
as a number. A critical notice draws on no budget.

Source: docs/reference/hook-service.md, "How often it speaks"; CDS Hooks 2.0 "Feedback".
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cds_service.domain.alert import AlertPolicies
from cds_service.domain.card import Card, Indicator, ShownCard
from cds_service.domain.hook import Hook, HookCall
from cds_service.usecases.card_language import Words
from cds_service.usecases.hook_desk import HookDesk

MAX_CARDS = 3


@dataclass(frozen=True, slots=True)
class Notice:
    """A card that is ready, and what it is about."""

    card: Card
    finding_code: str
    result_id: str | None = None


def limit_alerts(
    notices: Sequence[Notice], policies: AlertPolicies, call: HookCall, desk: HookDesk
) -> list[Card]:
    """Return the cards to show, in the order of the notices, and remember them."""
    first, rest = notices[:MAX_CARDS], notices[MAX_CARDS:]
    granted = _granted(first, policies, call, desk)
    cards = [one.card for one in granted]
    if len(granted) < len(first):
        cards.append(desk.writer.of_limit(call, len(first) - len(granted)))
    if rest:
        cards[-1] = with_more(cards[-1], [one.card for one in rest], desk.writer.words)
    if cards:
        _remember(cards, granted, call, desk)
    return cards


def _granted(
    notices: Sequence[Notice], policies: AlertPolicies, call: HookCall, desk: HookDesk
) -> list[Notice]:
    """Ask the budgets; without any, nothing is written."""
    budgets = policies.budgets()
    opens_chart = call.hook == Hook.PATIENT_VIEW
    drawing = [_budget_of(one, policies) for one in notices]
    wanted = Counter(name for name in drawing if name in budgets)
    if not budgets or not (wanted or opens_chart):
        return list(notices)
    left = desk.alerts.spend(call.tenant_id, budgets, wanted, opens_chart=opens_chart)
    granted = []
    for notice, name in zip(notices, drawing, strict=True):
        if name in left:
            left[name] -= 1
        if name not in left or left[name] >= 0:
            granted.append(notice)
    return granted


def _budget_of(notice: Notice, policies: AlertPolicies) -> str | None:
    if notice.card.indicator is Indicator.CRITICAL:
        return None
    return policies.budget_of(notice.finding_code)


def _remember(
    cards: Sequence[Card], granted: Sequence[Notice], call: HookCall, desk: HookDesk
) -> None:
    about = {one.card.uuid: one for one in granted}
    shown = []
    for card in cards:
        notice = about.get(card.uuid)
        shown.append(
            ShownCard(
                card_uuid=card.uuid,
                result_id=notice.result_id if notice else None,
                service_id=call.service_id,
                hook=call.hook,
                finding_code=notice.finding_code if notice else None,
                reader=desk.writer.reader(call) or None,
            )
        )
    desk.cards.shown(call.tenant_id, *shown)


def with_more(card: Card, rest: Sequence[Card], words: Words) -> Card:
    """Add a way to the studies that no card is left for; each of `rest` is one."""
    what = words.ngettext("And %(num)s more study", "And %(num)s more studies", len(rest))
    ways = [replace(link, label=what) for one in rest for link in one.links][:1]
    told = words.gettext("%(what)s in the app.", what=f"**{what}**")
    detail = f"{card.detail_markdown}\n\n{told}"
    return replace(card, detail_markdown=detail, links=(*card.links, *ways))
