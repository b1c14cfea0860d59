"""Answer a patient-view hook: cards about the patient's newest imaging studies, in time.

What is known becomes a card; what is not known yet is asked for, never waited for.

Source: DESIGN "One hook through the house"; CDS Hooks 2.0 "HTTP Response"; threats T19 (many
studies) and T22 (a study that grew).
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.card import Card, Indicator, ShownCard
from cds_service.domain.finding import AnalysisStatus, Result
from cds_service.domain.hook import HookCall
from cds_service.domain.job import Job, JobState
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import PrefetchUnavailable, SightlineError, UpstreamFailed
from cds_service.fhir.imaging_study import archive_address, endpoint_id, patient_in, studies_in
from cds_service.usecases.compose_card import CardWriter
from cds_service.usecases.gather_prefetch import PATIENT, STUDIES, Gatherer, Gathering
from cds_service.usecases.ports import AuditLog, CardLog, Clock, Jobs, Resource, Results

log = logging.getLogger(__name__)

MAX_STUDIES = 3  # per hook, and so the most cards
COMPOSING_S = 0.08  # kept back from the deadline for the ledger and the cards
RETRY_FAILED_AFTER = timedelta(minutes=10)
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_URGENCY = [Indicator.CRITICAL, Indicator.WARNING, Indicator.INFO]


@dataclass(frozen=True, slots=True)
class HookDesk:
    """Everything that answering a hook needs."""

    gatherer: Gatherer
    jobs: Jobs
    results: Results
    cards: CardLog
    audit: AuditLog
    dispatch: Callable[[StudyReference, PatientFacts], Job]
    writer: CardWriter
    clock: Clock


def answer_hook(call: HookCall, tenant: Tenant, desk: HookDesk, *, budget_s: float) -> list[Card]:
    """Return at most three cards, the most urgent first, within `budget_s`.

    An EHR that is late or broken costs the cards, not the answer. Raises PrefetchUnavailable
    when the study list has no source at all, and LedgerUnavailable.
    """
    try:
        cards = _cards(call, tenant, desk, desk.gatherer.timer() + budget_s - COMPOSING_S)
    except SightlineError as error:
        _note(call, desk, type(error).__name__)
        raise
    _note(call, desk, "success", f"{len(cards)} cards")
    return cards


def _cards(call: HookCall, tenant: Tenant, desk: HookDesk, deadline: float) -> list[Card]:
    gathering = desk.gatherer.start(call, tenant, deadline)
    try:
        document = gathering.document(STUDIES)
    except (PrefetchUnavailable, UpstreamFailed) as error:
        cards = _from_ledger(call, tenant, desk)
        if not cards and isinstance(error, PrefetchUnavailable):
            raise
        log.warning("study list not read: tenant=%s error=%s", tenant.id, type(error).__name__)
        if not cards and tenant.shows_running:
            return [desk.writer.of_silence(tenant.id, call.patient_id, call.user_id)]
        return cards
    if document is None:  # the client found none, which is not proof that there is none
        return _from_ledger(call, tenant, desk)
    studies = studies_in(document, tenant.id, call.patient_id)
    chosen = _newest(studies, desk.writer.model.modalities)
    return _about_studies(chosen, document, gathering, call, tenant, desk)


def _patient(gathering: Gathering, call: HookCall) -> PatientFacts | None:
    """Return who the patient is, or None: then no new analysis can be asked for."""
    try:
        document = gathering.document(PATIENT)
    except (PrefetchUnavailable, UpstreamFailed) as error:
        log.warning("patient not read: tenant=%s error=%s", call.tenant_id, type(error).__name__)
        return None
    return None if document is None else patient_in(document, call.patient_id)


def _newest(studies: Sequence[StudyReference], modalities: frozenset[str]) -> list[StudyReference]:
    """Choose the newest studies, those that the model may read first."""
    unique = {study.study_uid: study for study in reversed(studies)}.values()
    by_age = sorted(unique, key=lambda study: study.started or _LONG_AGO, reverse=True)
    by_age.sort(
        key=lambda study: bool(study.modalities) and modalities.isdisjoint(study.modalities)
    )
    return by_age[:MAX_STUDIES]


def _from_ledger(call: HookCall, tenant: Tenant, desk: HookDesk) -> list[Card]:
    """Say what is known about this patient without a study list."""
    results = desk.results.studies_of(tenant.id, call.patient_id)[:MAX_STUDIES]
    uids = [result.study_uid for result in results]
    jobs = desk.jobs.newest_for(tenant.id, call.patient_id, uids) if uids else {}
    pairs = []
    for result in results:
        job = jobs.get(result.study_uid)
        study = None if job is None else job.study  # names the modality and the body site
        pairs.append((_result_card(result, study, job, call, tenant, desk), result.id))
    return _shown(pairs, tenant, desk)


def _about_studies(
    studies: Sequence[StudyReference],
    document: Resource,
    gathering: Gathering,
    call: HookCall,
    tenant: Tenant,
    desk: HookDesk,
) -> list[Card]:
    uids = [study.study_uid for study in studies]
    if not uids:
        return []
    # Jobs first: a result is stored before its job is done, so none can fall in between.
    jobs = desk.jobs.newest_for(tenant.id, call.patient_id, uids)
    results = desk.results.newest_for(tenant.id, call.patient_id, uids)
    wanted = [
        study
        for study in studies
        if _wants_analysis(study, jobs.get(study.study_uid), results.get(study.study_uid), desk)
    ]
    patient = _patient(gathering, call) if wanted else None
    if patient is not None:
        ready = (_with_archive(study, document, gathering, tenant) for study in wanted)
        jobs |= {study.study_uid: desk.dispatch(study, patient) for study in ready if study}
    pairs: list[tuple[Card | None, str | None]] = []
    for study in studies:
        job, result = jobs.get(study.study_uid), results.get(study.study_uid)
        if result is not None:
            pairs.append((_result_card(result, study, job, call, tenant, desk), result.id))
        elif job is not None:
            pairs.append((_job_card(job, study, call, tenant, desk), None))
    return _shown(pairs, tenant, desk)


def _with_archive(
    study: StudyReference, document: Resource, gathering: Gathering, tenant: Tenant
) -> StudyReference | None:
    """Add the archive's address where only an Endpoint names it; None: not now, perhaps later."""
    endpoint = endpoint_id(document, study.study_uid)
    if study.archive_url or tenant.archive_base or endpoint is None:
        return study
    try:
        address = archive_address(gathering.further(f"Endpoint/{endpoint}"))
    except (PrefetchUnavailable, UpstreamFailed) as error:
        log.warning("endpoint not read: tenant=%s error=%s", tenant.id, type(error).__name__)
        return None if error.retryable else study
    return replace(study, archive_url=address)


def _wants_analysis(
    study: StudyReference, job: Job | None, result: Result | None, desk: HookDesk
) -> bool:
    """Tell whether a job has to be asked for: none yet, a failed one, new images, a new model."""
    if job is None:
        return result is None or _is_of_another_model(result, desk)
    if job.state is JobState.FAILED:
        return desk.clock() - job.updated_at > RETRY_FAILED_AFTER
    counts = (study.series_count, study.instance_count)
    if counts != (job.study.series_count, job.study.instance_count):
        return True
    return job.state is JobState.DONE and result is not None and _is_of_another_model(result, desk)


def _is_of_another_model(result: Result, desk: HookDesk) -> bool:
    return result.analysis.model.digest != desk.writer.model.identity.digest


def _result_card(
    result: Result,
    study: StudyReference | None,
    job: Job | None,
    call: HookCall,
    tenant: Tenant,
    desk: HookDesk,
) -> Card | None:
    findings = result.analysis.findings
    is_negative = result.analysis.status is AnalysisStatus.ANALYSED and all(
        finding.present is False for finding in findings
    )
    if is_negative and (not findings or not tenant.shows_negative):
        return None
    superseded = job is not None and job.state is JobState.OPEN
    return desk.writer.of_result(result, study, call.user_id, superseded=superseded)


def _job_card(
    job: Job, study: StudyReference, call: HookCall, tenant: Tenant, desk: HookDesk
) -> Card | None:
    if job.state is JobState.OPEN:
        if not tenant.shows_running:
            return None
        return desk.writer.of_job(job, study, desk.jobs.expected_seconds(job), call.user_id)
    if job.state is JobState.DONE:
        return None  # its result was erased
    return desk.writer.of_job(job, study, 0, call.user_id)


def _shown(
    pairs: Sequence[tuple[Card | None, str | None]], tenant: Tenant, desk: HookDesk
) -> list[Card]:
    """Order by urgency and remember each card, so that feedback finds it."""
    kept = [(card, result_id) for card, result_id in pairs if card is not None]
    kept.sort(key=lambda pair: _URGENCY.index(pair[0].indicator))
    if kept:
        desk.cards.shown(tenant.id, *(ShownCard(card.uuid, result_id) for card, result_id in kept))
    return [card for card, _ in kept]


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
