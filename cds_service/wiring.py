"""Where concrete meets abstract: the only module that knows every class.

Each process builds what it needs once: the web workers, each worker process, the supervisor and
the command line.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from secrets import token_urlsafe
from ssl import SSLContext
from threading import Semaphore
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from sqlalchemy import Engine

from cds_service.adapters import ledger, subscriptions
from cds_service.adapters.archive import DicomWebArchive, LaunchToken
from cds_service.adapters.archive_json import ArchiveJson
from cds_service.adapters.azure_change_feed import AzureChangeFeed
from cds_service.adapters.backend_token import BackendTokens
from cds_service.adapters.client_assertion import ClientAssertion
from cds_service.adapters.egress import Egress
from cds_service.adapters.ehr import FhirRecord
from cds_service.adapters.ehr_writer import FhirWriter
from cds_service.adapters.inbox_archive import InboxArchive, InboxFirst
from cds_service.adapters.inbox_files import InboxFiles
from cds_service.adapters.inbox_header import identify
from cds_service.adapters.jwks import ClientKeys
from cds_service.adapters.lanes import Lanes
from cds_service.adapters.model_sheets import sheet_of
from cds_service.adapters.model_shelf import ModelShelf, enabled_routes, identity_of
from cds_service.adapters.orthanc_changes import OrthancChanges
from cds_service.adapters.proxy_certificate import certificate_digest
from cds_service.adapters.qido_feed import QidoFeed
from cds_service.adapters.queue import (
    RING_TIMEOUT_S,
    SESSION_TIMEOUT_S,
    RingWorker,
    RqDoorbell,
    redis_client,
    ring_worker,
    worker_redis_client,
)
from cds_service.adapters.signing_keys import SigningKeyFile
from cds_service.adapters.subscriptions import FhirSubscriptions
from cds_service.adapters.vault import Vault, load_or_create_key
from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.finding import Coding, ModelIdentity
from cds_service.domain.inbox import MEBIBYTE, Quota
from cds_service.domain.intake import Door
from cds_service.domain.job import Job, JobState
from cds_service.domain.line import Priority
from cds_service.domain.model_sheet import ModelSheet
from cds_service.domain.routing import routes_of
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import LedgerUnavailable, ModelMissing, NotFound, SightlineError
from cds_service.fhir.model_card import logical_id
from cds_service.intake.archive_polling import poll_archive
from cds_service.intake.bell import Belfry, subscribe
from cds_service.intake.fhir_polling import poll_fhir
from cds_service.intake.inbox import Arrival, Inbox
from cds_service.intake.poller import Poll, Poller, Source
from cds_service.intake.receive import IntakeDesk
from cds_service.intake.settle_inbox import Settlement
from cds_service.settings import Settings
from cds_service.usecases.answer_hook import answer_hook
from cds_service.usecases.compose_card import CardModel, CardWriter
from cds_service.usecases.dispatch_inference import dispatch_inference
from cds_service.usecases.gather_prefetch import Gatherer
from cds_service.usecases.hook_desk import HookDesk
from cds_service.usecases.ports import ArchiveFeed, Budget, OverdueJobs
from cds_service.usecases.publish_reviews import ReviewBench
from cds_service.usecases.read_study import read_study
from cds_service.usecases.record_feedback import record_feedback
from cds_service.usecases.run_inference import Workbench
from cds_service.usecases.seal_context import seal_context
from cds_service.usecases.sweep_jobs import sweep_jobs
from cds_service.web import subscription
from cds_service.web.client_trust import ClientTrust
from cds_service.web.rate_limit import RateLimit
from cds_service.web.registrations import Registrations
from cds_service.web.services import Services
from cds_service.web.stow import UPLOADS, StowDoor
from cds_service.worker_plan import (
    Row,
    WorkerPlan,
    free_memory_mb,
    measured_once,
    plan_of,
    probe_apart,
    provider_of,
)
from models.contract import ModelCard
from smart_app import AppServices, Measured, ModelFacts, Share, card_language

if TYPE_CHECKING:  # heavy, or an extra
    from cds_service.adapters.dimse.listener import Caller, DimseListener
    from cds_service.adapters.probe import Pace

log = logging.getLogger(__name__)

MODELS_IN_MEMORY = 8  # of one worker process, with their sessions

LOST_BELL_S = 600.0  # how long one can go unnoticed
SIGN_INS_PER_S = 50.0  # requests of one address, in each web process: a hospital may have just one
BELLS_PER_S = 20.0  # of one EHR, in each web process; more are told to wait

WARM_UP_S = 0.5  # that a starting process waits for a ledger that somebody holds


def clock() -> datetime:
    """Return the time, aware, UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return an unguessable id of 128 bits, safe in a URL."""
    return token_urlsafe(16)


@dataclass(frozen=True, slots=True)
class House:
    """What every process shares: the ledger, the keys and the door to other machines."""

    engine: Engine
    vault: Vault
    assertion: ClientAssertion
    egress: Egress
    tokens: BackendTokens
    tenants: ledger.SqlTenants
    jobs: ledger.SqlJobs
    results: ledger.SqlResults
    audit: ledger.SqlAuditLog
    shelf: ModelShelf


def open_house(settings: Settings) -> House:
    """Connect to an installation; raises SettingsInvalid or LedgerUnavailable."""
    engine = ledger.connect(settings.database_url)
    ledger.check(engine)
    vault = Vault(load_or_create_key(settings.master_key_file))
    keys = SigningKeyFile(settings.signing_key_file)
    keys.create_if_absent(clock())
    keys.read()  # a wrong file stops the start, not the first launch
    assertion = ClientAssertion(keys.read)
    audit = ledger.SqlAuditLog(engine)
    egress = Egress(on_refused=_auditing(audit))
    return House(
        engine=engine,
        vault=vault,
        assertion=assertion,
        egress=egress,
        tokens=BackendTokens(egress, assertion),
        tenants=ledger.SqlTenants(engine),
        jobs=ledger.SqlJobs(
            engine, vault, lease_s=settings.job_lease_s, attempts=settings.job_attempts
        ),
        results=ledger.SqlResults(engine),
        audit=audit,
        shelf=ModelShelf(settings.data, settings.model_id),
    )


def prepare_installation(settings: Settings) -> None:
    """Make the folder, the keys and the ledger's tables, or bring them up to date."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    load_or_create_key(settings.master_key_file)
    keys = SigningKeyFile(settings.signing_key_file)
    keys.create_if_absent(clock())
    keys.complete(clock())
    ledger.upgrade(ledger.connect(settings.database_url))


def register_sandbox(settings: Settings, tenant: Tenant) -> None:
    """Register the demo's EHR, again when its ports have changed; its results stay."""
    house = open_house(settings)
    try:
        if house.tenants.get(tenant.id) == tenant:
            return
        house.tenants.remove(tenant.id)
    except NotFound:
        pass
    house.tenants.add(tenant)


def results(settings: Settings) -> ledger.SqlResults:
    """Return the results of an installation, to read."""
    return ledger.SqlResults(ledger.connect(settings.database_url))


def sweep(settings: Settings) -> Callable[[], int]:
    """Return what the supervisor calls now and then."""
    house = open_house(settings)
    doorbell = _doorbell(settings)
    waiting: tuple[OverdueJobs, ...] = (house.jobs, ledger.SqlReviewWrites(house.engine))
    return lambda: sum(sweep_jobs(overdue=overdue, doorbell=doorbell) for overdue in waiting)


def plan_workers(settings: Settings) -> WorkerPlan:
    """Choose workers, threads and execution provider; the first time it takes two seconds."""

    def measure() -> list[Row]:
        shelf = ModelShelf(settings.data, settings.model_id)
        card = shelf.card(shelf.enabled().everywhere[0])
        return measured_once(settings.data, card.digest, partial(probe_apart, settings))

    return plan_of(settings, measure, free_memory_mb())


def probe(settings: Settings, cores: int, budget_s: float) -> "Iterator[Pace]":
    """Measure the first model that is enabled, in this process."""
    from cds_service.adapters.probe import measured

    shelf = ModelShelf(settings.data, settings.model_id)
    return measured(shelf.package(shelf.enabled().everywhere[0]), cores, budget_s)


def workbench(settings: Settings) -> Workbench:
    """Build what a worker process needs, with the model loaded."""
    from cds_service.adapters.decoder_probe import decoders_once
    from cds_service.adapters.pixels import DicomReader  # decoders: in worker processes only
    from cds_service.adapters.runtime import OnnxClassifier

    house = open_house(settings)
    shelf = house.shelf

    @lru_cache(maxsize=MODELS_IN_MEMORY)
    def loaded(model: ModelIdentity) -> OnnxClassifier:
        return OnnxClassifier(
            shelf.package(model.id),
            threads=settings.worker_threads or 1,
            provider=provider_of(settings),
        )

    def classifier(model_id: str) -> OnnxClassifier:
        return loaded(identity_of(shelf.card(model_id)))

    for model_id in shelf.enabled().all():
        classifier(model_id).warm_up()
    writer = FhirWriter(house.egress.session_for, house.tokens.auth)
    return Workbench(
        tenants=house.tenants,
        leases=house.jobs,
        results=house.results,
        publications=ledger.SqlPublications(house.engine),
        archive=InboxFirst(_inbox_archive(settings, house), archive(house)),
        reader=DicomReader(decoders_once(settings.data)),
        classifiers=classifier,
        writer=writer,
        audit=house.audit,
        clock=clock,
        new_id=new_id,
        attempts=settings.job_attempts,
        budget=Budget(),
        reviews=ReviewBench(
            tenants=house.tenants,
            results=house.results,
            reviews=ledger.SqlReviews(house.engine, house.vault),
            writes=ledger.SqlReviewWrites(house.engine),
            writer=writer,
            audit=house.audit,
            clock=clock,
        ),
    )


def archive(house: House) -> DicomWebArchive:
    """Build the DICOMweb client."""
    return DicomWebArchive(house.egress.session_for, house.tokens.auth)


def hook_services(settings: Settings, house: House) -> Services:
    """Build what the CDS Hooks front door needs."""
    model = _card_model(house.shelf.card(house.shelf.enabled().everywhere[0]))
    cards = ledger.SqlCardLog(house.engine)
    desk = HookDesk(
        gatherer=Gatherer(FhirRecord(house.egress, house.tokens), house.audit, Lanes(), clock),
        jobs=house.jobs,
        results=house.results,
        cards=cards,
        alerts=ledger.SqlAlerts(house.engine),
        audit=house.audit,
        dispatch=_ask(settings, house),
        routes=partial(enabled_routes, house.shelf),
        writer=CardWriter(
            model,
            settings.public_url,
            partial(house.vault.pseudonym, "card reader"),
            partial(_installed, house.shelf),
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
        models=partial(_everywhere, house.shelf),
        model_sheet=partial(_sheet_with, house.shelf),
        is_ledger_up=lambda: _works(house.tenants.all),
        is_queue_up=lambda: _works(redis.ping),
        within=ledger.within,
    )


def inbox(settings: Settings, house: House) -> Inbox:
    """Build what takes the images that archives push."""
    return Inbox(
        tenants=house.tenants,
        files=InboxFiles(settings.inbox),
        index=ledger.SqlInbox(house.engine, house.vault),
        identify=identify,
        quota=Quota(settings.inbox_mb * MEBIBYTE, settings.inbox_instances),
    )


def _inbox_archive(settings: Settings, house: House) -> InboxArchive:
    index = ledger.SqlInbox(house.engine, house.vault)
    return InboxArchive(index, InboxFiles(settings.inbox), identify)


def stow_door(settings: Settings, house: House) -> StowDoor:
    """Build the door at which archives push over HTTP."""
    header = settings.client_certificate_header
    return StowDoor(
        inbox=inbox(settings, house),
        tenant_of=ledger.SqlPushCredentials(house.engine).tenant_of,
        certificate_digest=None if header == "none" else certificate_digest,
        certificate_header=header,
        body_limit_bytes=settings.inbox_mb * MEBIBYTE,
        turns=Semaphore(UPLOADS),
    )


def dimse_listener(
    settings: Settings,
    tenant: Tenant,
    address: tuple[str, int],
    ae_title: str,
    callers: "tuple[Caller, ...]",
    *,
    tls: SSLContext | None,
    associations: int,
) -> "DimseListener":
    """Build the listener at which one EHR's archive pushes; it listens from now on."""
    from cds_service.adapters.dimse.listener import DimseListener, Reception  # an extra

    taking = inbox(settings, open_house(settings))

    def is_open() -> bool:
        with suppress(SightlineError):
            return taking.tenant_at(Door.DIMSE, tenant.id).id == tenant.id
        return False

    def take(arrival: Arrival, said: tuple[str, str]) -> None:
        taking.take(tenant.id, arrival, taking.look(arrival), said=said)

    reception = Reception(is_open, partial(taking.begin, tenant.id), take)
    return DimseListener(address, ae_title, callers, reception, tls=tls, associations=associations)


def settlement(settings: Settings) -> Settlement:
    """Build what binds pushed studies and erases what is over."""
    house = open_house(settings)
    return Settlement(
        desk=intake_desk(settings, house),
        tenants=house.tenants,
        index=ledger.SqlInbox(house.engine, house.vault),
        files=InboxFiles(settings.inbox),
        quiet_for=timedelta(seconds=settings.inbox_quiet_s),
        wait_for=timedelta(minutes=settings.inbox_wait_min),
    )


def intake_desk(settings: Settings, house: House) -> IntakeDesk:
    """Build what an intake door needs.

    It reads the EHR by itself: nobody waits for a door, so its long waits must not count as the
    EHR's failures towards a hook.
    """
    return IntakeDesk(
        record=FhirRecord(house.egress, house.tokens),
        jobs=house.jobs,
        results=house.results,
        audit=house.audit,
        dispatch=_ask(settings, house, Priority.ROUTINE),
        routes=partial(enabled_routes, house.shelf),
        clock=clock,
    )


def intake_poller(settings: Settings, *, every_s: float) -> Poller:
    """Build what asks the open doors, each of them so often."""
    house = open_house(settings)
    desk = intake_desk(settings, house)
    cursors = ledger.SqlIntakeCursors(house.engine)
    return Poller(
        house.tenants,
        {
            Door.FHIR_POLLING: Source(partial(poll_fhir, desk=desk, cursors=cursors), every_s),
            Door.SUBSCRIPTION: Source(_rung(desk, cursors), max(every_s, LOST_BELL_S)),
            **{
                door: Source(
                    partial(poll_archive, desk=desk, cursors=cursors, door=door, feed=feed), every_s
                )
                for door, feed in archive_feeds(house).items()
            },
        },
    )


def archive_feeds(house: House) -> dict[Door, ArchiveFeed]:
    """Build what asks archives which studies have come."""
    archive = ArchiveJson(house.egress.session_for, house.tokens.auth)
    return {
        Door.DICOMWEB_POLLING: QidoFeed(archive, clock),
        Door.ORTHANC_CHANGES: OrthancChanges(archive),
        Door.AZURE_CHANGE_FEED: AzureChangeFeed(archive, clock),
    }


def bell_door(settings: Settings, house: House) -> Callable[[str, str], None]:
    """Build what hears an EHR's subscription: the path's secret part, and the header."""
    belfry = Belfry(
        bells=ledger.SqlIntakeBells(house.engine),
        tenants=house.tenants,
        limit=RateLimit(BELLS_PER_S).take,
        lane=Lanes(threads=1),
        poll=_rung(intake_desk(settings, house), ledger.SqlIntakeCursors(house.engine)),
    )
    return belfry.hear


def subscribe_at(settings: Settings, tenant: Tenant) -> str:
    """Let this EHR ring; return the logical id of its Subscription. Raises UpstreamFailed."""
    house = open_house(settings)
    tokens = BackendTokens(house.egress, house.assertion, scopes=subscriptions.SCOPES)
    return subscribe(
        tenant,
        f"{settings.public_url}{subscription.PATH}",
        bells=ledger.SqlIntakeBells(house.engine),
        subscriptions=FhirSubscriptions(house.egress.session_for, tokens.auth),
        new_id=new_id,
    )


def _rung(desk: IntakeDesk, cursors: ledger.SqlIntakeCursors) -> Poll:
    return partial(poll_fhir, desk=desk, cursors=cursors, door=Door.SUBSCRIPTION)


def app_services(settings: Settings, house: House) -> AppServices:
    """Build what the SMART app needs. Its decoder sees only bytes a worker has decoded before."""
    from cds_service.adapters.pixels import DicomReader

    reader = DicomReader()
    enabled = house.shelf.enabled()
    cards = [house.shelf.card(model_id) for model_id in enabled.all()]
    return AppServices(
        public_url=settings.public_url,
        label=house.shelf.card(enabled.everywhere[0]).label,
        tenants=house.tenants,
        results=house.results,
        jobs=house.jobs,
        lost_jobs=ledger.SqlLostJobs(house.engine),
        reviews=ledger.SqlReviews(house.engine, house.vault),
        review_writes=ledger.SqlReviewWrites(house.engine),
        worklist=ledger.SqlWorklist(house.engine),
        alerts=ledger.SqlAlerts(house.engine),
        doorbell=_doorbell(settings),
        dispatch=_dispatch(settings, house),
        audit=house.audit,
        vault=house.vault,
        redis=redis_client(settings.redis_url, timeout_s=SESSION_TIMEOUT_S),
        egress=house.egress,
        assertions=house.assertion,
        ehr=FhirRecord(house.egress, house.tokens),
        archive=archive(house),
        archive_as=lambda token: DicomWebArchive(
            house.egress.session_for, lambda _tenant: LaunchToken(token), only_at_study=True
        ),
        read_pixels=lambda instance, frame: reader.pixels(instance, frame).values,
        read_header=reader.header,
        model_facts=partial(_model_facts, house.shelf),
        model_sheet=partial(_sheet, house.shelf),
        looked_for=tuple(dict.fromkeys(coding for one in cards for coding in _codings(one))),
        modalities=tuple(sorted(set().union(*(one.intended_use.modalities for one in cards)))),
        count_sign_in=RateLimit(SIGN_INS_PER_S).take_from,
        clock=clock,
        new_id=new_id,
    )


def _dispatch(settings: Settings, house: House) -> Callable[..., Job]:
    """Return what asks every model that reads a study, and returns the first job still to do."""
    ask = _ask(settings, house)

    def dispatch(study: StudyReference, patient: PatientFacts, again: bool = False) -> Job:
        routes = routes_of(enabled_routes(house.shelf, study.tenant_id), study, patient)
        jobs = [ask(study, patient, route.model, again) for route in routes]
        return next((job for job in jobs if job.state is JobState.OPEN), jobs[0])

    return dispatch


def _ask(
    settings: Settings, house: House, usual: Priority = Priority.ASKED
) -> Callable[[StudyReference, PatientFacts, ModelIdentity, bool], Job]:
    """Return what asks one model; one that looks for something urgent goes before the `usual`."""
    doorbell = _doorbell(settings)

    def ask(study: StudyReference, patient: PatientFacts, model: ModelIdentity, again: bool) -> Job:
        is_urgent = any(one.critical for one in house.shelf.card(model.id).findings)
        return dispatch_inference(
            study,
            patient,
            jobs=house.jobs,
            doorbell=doorbell,
            model=model,
            again=again,
            priority=Priority.CRITICAL if is_urgent else usual,
        )

    return ask


def study_at_ehr(
    settings: Settings, tenant: Tenant, study_uid: str
) -> tuple[StudyReference, PatientFacts | None, list[bytes]]:
    """Read one study of an EHR and its images, for a person at the command line.

    Raises NotFound when the EHR has no such study, UpstreamFailed, StudyUnusable.
    """
    house = open_house(settings)
    return read_study(
        study_uid,
        tenant,
        record=FhirRecord(house.egress, house.tokens),
        archive=archive(house),
        audit=house.audit,
        clock=clock,
    )


def _doorbell(settings: Settings) -> RqDoorbell:
    return RqDoorbell(redis_client(settings.redis_url, timeout_s=RING_TIMEOUT_S))


def _everywhere(shelf: ModelShelf) -> list[CardModel]:
    """Return the models that are enabled for every EHR, less those that cannot be read."""
    found = (_installed(shelf, model_id) for model_id in shelf.enabled().everywhere)
    return [one for one in found if one is not None]


def _installed(shelf: ModelShelf, model_id: str) -> CardModel | None:
    try:
        return _card_model(shelf.card(model_id))
    except ModelMissing:
        return None


def _sheet(shelf: ModelShelf, model_id: str) -> ModelSheet | None:
    try:
        return sheet_of(shelf, model_id) if model_id in shelf.ids() else None
    except ModelMissing:
        return None


def _sheet_with(shelf: ModelShelf, fhir_id: str) -> ModelSheet | None:
    for model_id in shelf.ids():
        found = _installed(shelf, model_id)
        if found is not None and logical_id(found.identity) == fhir_id:
            return _sheet(shelf, model_id)
    return None


def _codings(card: ModelCard) -> tuple[Coding, ...]:
    return tuple(Coding(*astuple(one.coding)) for one in card.findings)


def _card_model(card: ModelCard) -> CardModel:
    return CardModel(
        identity=identity_of(card),
        findings=_codings(card),
        scope=_scope(card),
        does_not_look_for=card.does_not_look_for,
    )


def _model_facts(shelf: ModelShelf, model: ModelIdentity) -> ModelFacts | None:
    try:
        card = shelf.card(model.id)
    except ModelMissing:
        return None
    if card.digest != model.digest:
        return None
    return ModelFacts(
        looks_for=f"signs of {', '.join(one.coding.display.lower() for one in card.findings)}",
        intended_use=_scope(card),
        does_not_look_for=card.does_not_look_for,
        limits=card.limits,
        measured=_measured(card),
    )


def _measured(card: ModelCard) -> Measured | None:
    """Read the figures of the one operating point; None where they are not all there."""
    if len(card.findings) > 1:
        return None
    performance = card.details.get("performance", {})
    try:
        figures = performance["figures"]
        return Measured(
            sensitivity=Share(**figures["sensitivity"]),
            specificity=Share(**figures["specificity"]),
            images=figures["images"],
            with_finding=figures["with_finding"],
            is_external=performance["external_validation"] != "none",
        )
    except (KeyError, TypeError):
        return None


def _scope(card: ModelCard) -> str:
    return f"{card.intended_use.projection} of {card.intended_use.population}"


def _works(probe: Callable[[], object]) -> bool:
    try:
        probe()
    except (SightlineError, RedisError):
        return False
    return True


def queue_worker(settings: Settings) -> RingWorker:
    """Build RQ's part of a worker process."""
    redis = worker_redis_client(settings.redis_url)
    return ring_worker(redis, name=f"sightline-{new_id()}")


def _auditing(audit: ledger.SqlAuditLog) -> Callable[[Tenant, str], None]:
    def refused(tenant: Tenant, where: str) -> None:
        log.warning("address refused: tenant=%s origin=%s", tenant.id, where)
        audit.record(
            AuditEvent(
                action=AuditAction.ADDRESS_REFUSED,
                at=clock(),
                tenant_id=tenant.id,
                agent="egress",
                outcome="refused",
                detail=where,
            )
        )

    return refused
