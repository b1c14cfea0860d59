"""Say before a new imaging order that a comparable study has an AI read already.

What was read is in the ledger; the EHR's list of studies says whether it still stands. Without the
list, as where an EHR has no ImagingStudy, the ledger is enough, so this service never answers 412.
What neither codes nor words tell the region of is like no order.

Source: CDS Hooks Library 1.0.1, order-select (only what is selected) and order-sign.
"""

import logging
from collections.abc import Iterator
from datetime import timedelta

from cds_service.domain.alert import AlertPolicies, is_held_back, standing
from cds_service.domain.card import Indicator
from cds_service.domain.finding import Result
from cds_service.domain.hook import Hook, HookCall
from cds_service.domain.imaging_terms import kind_in, kind_of, region_in, region_of
from cds_service.domain.job import Job
from cds_service.domain.order import ImagingOrder
from cds_service.domain.tenant import Tenant
from cds_service.errors import PrefetchUnavailable, UpstreamFailed
from cds_service.fhir.bundle import is_complete
from cds_service.fhir.imaging_order import imaging_orders
from cds_service.fhir.imaging_study import MAX_STUDIES, studies_in, withdrawn_in
from cds_service.usecases.card_words import worst
from cds_service.usecases.gather_prefetch import STUDIES, may_list_studies
from cds_service.usecases.hook_desk import HookDesk
from cds_service.usecases.limit_alerts import Notice
from cds_service.usecases.suggest_actions import suggest_about_orders

log = logging.getLogger(__name__)


def check_order(
    call: HookCall, policies: AlertPolicies, tenant: Tenant, desk: HookDesk, deadline: float
) -> list[Notice]:
    """Return a notice for each study, newest first, that a draft order would repeat.

    An order is named once, with the newest study that is like it. A study that the EHR has
    withdrawn is none, as far as its list can be had until `deadline`.
    """
    orders = imaging_orders(call.context, selected_only=call.hook == Hook.ORDER_SELECT)
    recent = list(_recent(call, policies, desk)) if orders else []
    if not recent:
        return []
    uids = [result.study_uid for result in recent]
    jobs = desk.jobs.newest_for(call.tenant_id, call.patient_id, uids)
    alike = [one for one in recent if _repeated(orders, one, jobs.get(one.study_uid))]
    standing_studies = _not_withdrawn(alike, call, tenant, desk, deadline)
    reactions = desk.alerts.reactions(call.tenant_id, [result.id for result in standing_studies])
    notices = []
    for result in standing_studies:
        repeated = _repeated(orders, result, jobs.get(result.study_uid))
        orders = [order for order in orders if order not in repeated]
        code = desk.writer.finding_code(result)
        stands = standing(
            reactions,
            result_id=result.id,
            finding_code=code,
            service_id=call.service_id,
            hook=call.hook,
            reader=desk.writer.reader(call),
        )
        if repeated and not is_held_back(Indicator.INFO, stands, policies.of(code)):
            notices.append(_notice(call, result, jobs.get(result.study_uid), repeated, desk))
    return notices


def _recent(call: HookCall, policies: AlertPolicies, desk: HookDesk) -> Iterator[Result]:
    """Yield the results of studies that are young enough for the site to count."""
    now = desk.clock()
    for result in desk.results.studies_of(call.tenant_id, call.patient_id):
        policy = policies.of(desk.writer.finding_code(result))
        if worst(result) is None or result.study_started is None:
            continue
        if now - result.study_started < timedelta(days=policy.order_check_days):
            yield result


def _not_withdrawn(
    results: list[Result], call: HookCall, tenant: Tenant, desk: HookDesk, deadline: float
) -> list[Result]:
    """Leave out what the EHR has withdrawn, or what its whole list of studies no longer has."""
    if not results or not may_list_studies(call, tenant):
        return results
    try:
        document = desk.gatherer.start(call, tenant, deadline, [STUDIES]).document(STUDIES)
    except (PrefetchUnavailable, UpstreamFailed) as error:
        log.warning("study list not read: tenant=%s error=%s", tenant.id, type(error).__name__)
        return results
    if document is None:  # the client found none, which is not proof that there is none
        return results
    withdrawn = withdrawn_in(document)
    listed = {one.study_uid for one in studies_in(document, tenant.id, call.patient_id)}
    is_whole = is_complete(document) and len(listed) < MAX_STUDIES
    return [
        one
        for one in results
        if one.study_uid not in withdrawn and (one.study_uid in listed or not is_whole)
    ]


def _repeated(orders: list[ImagingOrder], result: Result, job: Job | None) -> list[ImagingOrder]:
    """Return the orders that this study is like, by its codes or else by its description."""
    region = (region_of(job.study) if job else None) or region_in(result.study_description)
    kind = (kind_of(job.study) if job else None) or kind_in(result.study_description)
    return [order for order in orders if order.is_comparable_with(region, kind)]


def _notice(
    call: HookCall, result: Result, job: Job | None, orders: list[ImagingOrder], desk: HookDesk
) -> Notice:
    card = desk.writer.of_order(call, result, job.study if job else None)
    card = suggest_about_orders(card, orders, desk.writer.words)
    return Notice(card, desk.writer.finding_code(result), result.id)
