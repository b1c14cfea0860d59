"""What the hook service is built of."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from redis.exceptions import RedisError

from cds_service.adapters import ledger
from cds_service.adapters.ehr import FhirRecord
from cds_service.adapters.jwks import ClientKeys
from cds_service.adapters.lanes import Lanes
from cds_service.adapters.model_shelf import enabled_routes
from cds_service.adapters.qido_index import HOOK_TIMEOUT_S
from cds_service.adapters.queue import (
    RING_TIMEOUT_S,
    redis_client,
)
from cds_service.errors import LedgerUnavailable, SightlineError
from cds_service.settings import Settings
from cds_service.usecases.answer_hook import answer_hook
from cds_service.usecases.compose_card import CardWriter
from cds_service.usecases.gather_prefetch import Gatherer
from cds_service.usecases.hook_desk import HookDesk
from cds_service.usecases.record_feedback import record_feedback
from cds_service.usecases.seal_context import seal_context
from cds_service.web.client_trust import ClientTrust
from cds_service.web.rate_limit import RateLimit
from cds_service.web.registrations import Registrations
from cds_service.web.services import Services
from cds_service.wiring.dispatch import asker
from cds_service.wiring.house import House, clock
from cds_service.wiring.images import study_index
from cds_service.wiring.shelf import card_model, card_model_of, enabled_everywhere, sheet_by_fhir_id
from smart_app import card_language

WARM_UP_S = 0.5  # that a starting process waits for a ledger that somebody holds


def hook_services(settings: Settings, house: House) -> Services:
    """Build what the CDS Hooks front door needs."""
    model = card_model(house.shelf.card(house.shelf.enabled().everywhere[0]))
    cards = ledger.SqlCardLog(house.engine)
    desk = HookDesk(
        gatherer=Gatherer(FhirRecord(house.egress, house.tokens), house.audit, Lanes(), clock),
        index=study_index(house, timeout_s=HOOK_TIMEOUT_S),
        jobs=house.jobs,
        line=house.jobs,
        results=house.results,
        cards=cards,
        alerts=ledger.SqlAlerts(house.engine),
        audit=house.audit,
        dispatch=asker(settings, house),
        routes=partial(enabled_routes, house.shelf),
        writer=CardWriter(
            model,
            settings.public_url,
            partial(house.vault.pseudonym, "card reader"),
            partial(card_model_of, house.shelf),
        ),
        clock=clock,
        words=card_language.card_words,
    )
    redis = redis_client(settings.redis_url, timeout_s=RING_TIMEOUT_S)
    trust = ClientTrust(
        Registrations(house.tenants),
        ClientKeys(house.egress),
        ledger.SqlReplays(house.engine),
        clock,
        RateLimit(settings.hook_rate_per_s),
    )
    card_language.warm_up()
    # Somebody else may hold the ledger: the first hooks are slower then, and that is all.
    with suppress(LedgerUnavailable), ledger.within(WARM_UP_S):
        desk.warm_up()
        trust.warm_up()
    return Services(
        public_url=settings.public_url,
        hook_deadline_s=settings.hook_deadline_ms / 1000,
        hook_body_limit_bytes=settings.hook_body_limit_bytes,
        client_trust=trust,
        answer_hook=lambda call, tenant, budget_s: answer_hook(
            call, tenant, desk, budget_s=budget_s
        ),
        record_feedback=partial(record_feedback, cards=cards, audit=house.audit, clock=clock),
        seal_context=partial(seal_context, vault=house.vault),
        audit=house.audit,
        clock=clock,
        models=partial(enabled_everywhere, house.shelf),
        model_sheet=partial(sheet_by_fhir_id, house.shelf),
        is_ledger_up=lambda: _works(house.tenants.all),
        is_queue_up=lambda: _works(redis.ping),
        oldest_wait=ledger.SqlWaitingJobs(house.engine).oldest_wait,
        within=ledger.within,
    )


def _works(probe: Callable[[], object]) -> bool:
    try:
        probe()
    except (SightlineError, RedisError):
        return False
    return True
