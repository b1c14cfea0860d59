"""Answer a hook: cards about the patient's imaging studies, or about an order, in time.

What is known becomes a card; what is not known yet is asked for, never waited for.

Source: architecture "One hook through the house"; CDS Hooks 2.0 "HTTP Response".
"""

from cds_service.domain.alert import AlertPolicies, Standing, is_held_back
from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.card import Card, Indicator
from cds_service.domain.hook import ORDER_SERVICE, HookCall
from cds_service.domain.tenant import Tenant
from cds_service.errors import SightlineError
from cds_service.usecases.check_order import check_order
from cds_service.usecases.choose_notices import choose_notices
from cds_service.usecases.hook_desk import HookDesk
from cds_service.usecases.limit_alerts import Notice, limit_alerts
from cds_service.usecases.look_up_studies import look_up_studies

COMPOSING_S = 0.08  # kept back from the deadline for the ledger and the cards


def answer_hook(call: HookCall, tenant: Tenant, desk: HookDesk, *, budget_s: float) -> list[Card]:
    """Return at most three cards, the most urgent first, within `budget_s`.

    An EHR that is late or broken costs the cards, not the answer. Raises PrefetchUnavailable
    when the study list has no source at all, and LedgerUnavailable.
    """
    try:
        speaking = desk.speaking_to(tenant)
        cards = _cards(call, tenant, speaking, desk.gatherer.timer() + budget_s - COMPOSING_S)
    except SightlineError as error:
        _note(call, desk, type(error).__name__)
        raise
    _note(call, desk, "success", f"{len(cards)} cards")
    return cards


def _cards(call: HookCall, tenant: Tenant, desk: HookDesk, deadline: float) -> list[Card]:
    policies = desk.alerts.policies(tenant.id)
    if call.service_id == ORDER_SERVICE:
        repeated = check_order(call, policies, tenant, desk, deadline)
        return limit_alerts(repeated, policies, call, desk)
    found = look_up_studies(call, tenant, desk, deadline)
    notices = choose_notices(found.known, policies, call, tenant, desk)
    if not found.was_read and not notices and tenant.shows_running:
        notices = _silence(call, policies, desk)
    return limit_alerts(notices, policies, call, desk)


def _silence(call: HookCall, policies: AlertPolicies, desk: HookDesk) -> list[Notice]:
    code = desk.writer.model.findings[0].code
    if is_held_back(Indicator.INFO, Standing(), policies.of(code)):
        return []
    return [Notice(desk.writer.of_silence(call), code)]


def _note(call: HookCall, desk: HookDesk, outcome: str, detail: str = "") -> None:
    desk.audit.record(
        AuditEvent(
            action=AuditAction.HOOK_ANSWERED,
            at=desk.clock(),
            tenant_id=call.tenant_id,
            agent=call.user_id or "cds-client",
            outcome=outcome,
            patient_id=call.patient_id,
            detail=detail,
        )
    )
