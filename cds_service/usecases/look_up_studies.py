"""Look up a patient's studies: what the ledger knows of them, and jobs for what it does not know.

Three studies at most are asked for (threat T19); what is known of older ones is looked up too.

Source: architecture "One hook through the house"; CDS Hooks 2.0 "Prefetch Template".
"""

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from cds_service.domain.finding import Result
from cds_service.domain.hook import Hook, HookCall
from cds_service.domain.job import Job
from cds_service.domain.routing import routes_of
from cds_service.domain.study import LONG_AGO, PatientFacts, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import PrefetchUnavailable, UpstreamFailed
from cds_service.fhir.imaging_study import (
    archive_address,
    endpoint_ids,
    patient_in,
    studies_in,
    withdrawn_in,
)
from cds_service.usecases.gather_prefetch import (
    NEWEST,
    PATIENT,
    STUDIES,
    Gathering,
    may_list_studies,
)
from cds_service.usecases.hasten_analysis import hasten_analysis
from cds_service.usecases.hook_desk import HookDesk
from cds_service.usecases.ports import Resource
from cds_service.usecases.read_by_models import Reading, readings_of
from cds_service.usecases.studies_by_accession import studies_by_accession

log = logging.getLogger(__name__)

MAX_ANALYSED = 3  # studies that one hook may ask to analyse


@dataclass(frozen=True, slots=True)
class Known:
    """One study and what the ledger knows of it from one model: a result, a job, or both."""

    study: StudyReference | None  # as the EHR states it, now or to the job
    result: Result | None
    job: Job | None
    is_by_another_model: bool = False  # the result, than the one that reads it now

    @property
    def started(self) -> datetime | None:
        """When the images were taken."""
        if self.result is not None:
            return self.result.study_started
        return self.study.started if self.study else None


@dataclass(frozen=True, slots=True)
class Lookup:
    """The patient's known studies, newest first."""

    known: list[Known]
    was_read: bool = True  # False: the EHR's own list could not be had


def look_up_studies(call: HookCall, tenant: Tenant, desk: HookDesk, deadline: float) -> Lookup:
    """Return what is known until `deadline`, and ask for what is not.

    Raises PrefetchUnavailable when the study list has no source at all and the ledger knows
    nothing, and LedgerUnavailable.
    """
    try:
        listed = _listed(call, tenant, desk, deadline)
    except (PrefetchUnavailable, UpstreamFailed) as error:
        known = _from_ledger(call, desk)
        if not known and isinstance(error, PrefetchUnavailable):
            raise
        log.warning("study list not read: tenant=%s error=%s", tenant.id, type(error).__name__)
        return Lookup(known, was_read=False)
    if listed is None:  # the client found none, which is not proof that there is none
        return Lookup(_from_ledger(call, desk))
    known = _from_list(listed, call, tenant, desk)
    # What was found by accession number is not all that there is.
    if call.hook == Hook.ENCOUNTER_DISCHARGE or listed.document is None:
        uids = {one.study.study_uid for one in known if one.study}
        withdrawn = withdrawn_in(listed.document) if listed.document else set()
        known += _from_ledger(call, desk, but=uids | withdrawn)
    return Lookup(sorted(known, key=_age, reverse=True))


@dataclass(frozen=True, slots=True)
class _Listed:
    """The patient's studies as the EHR or, by its accession numbers, the archive lists them."""

    studies: list[StudyReference]
    gathering: Gathering
    document: Resource | None = None  # the EHR's own list


def _listed(call: HookCall, tenant: Tenant, desk: HookDesk, deadline: float) -> _Listed | None:
    """Return the list, or None when the client looked and found none.

    Where ImagingStudy cannot be read, now or ever, the accession numbers of orders and reports
    lead to the studies. Raises PrefetchUnavailable or UpstreamFailed.
    """
    if not may_list_studies(call, tenant):
        gathering = desk.gatherer.start(call, tenant, deadline, (PATIENT,))
        return _Listed(studies_by_accession(call, tenant, desk, deadline), gathering)
    gathering = desk.gatherer.start(call, tenant, deadline)
    try:
        document = gathering.document(STUDIES)
    except (PrefetchUnavailable, UpstreamFailed) as error:
        if error.retryable or not tenant.archives:
            raise
        with suppress(PrefetchUnavailable):
            if found := studies_by_accession(call, tenant, desk, deadline):
                return _Listed(found, gathering)
        raise
    if document is None:
        return None
    return _Listed(studies_in(document, tenant.id, call.patient_id), gathering, document)


def _from_ledger(call: HookCall, desk: HookDesk, but: Iterable[str] = ()) -> list[Known]:
    """Return every study of this patient with a result, without the EHR's list."""
    left_out = set(but)
    results = [
        one
        for one in desk.results.studies_of(call.tenant_id, call.patient_id)
        if one.study_uid not in left_out
    ]
    uids = list(dict.fromkeys(one.study_uid for one in results))
    jobs = desk.jobs.of_models(call.tenant_id, call.patient_id, uids) if uids else []
    own = {(job.study.study_uid, job.model_id): job for job in jobs}
    newest = {job.study.study_uid: job for job in sorted(jobs, key=lambda job: job.created_at)}
    pairs = [
        (one, own.get((one.study_uid, one.analysis.model.id)) or newest.get(one.study_uid))
        for one in results
    ]
    # The job's study names the modality and the body site.
    return [Known(job.study if job else None, result, job) for result, job in pairs]


def _from_list(listed: _Listed, call: HookCall, tenant: Tenant, desk: HookDesk) -> list[Known]:
    routes = desk.routes(tenant.id)
    read = frozenset[str]().union(*(route.use.modalities for route in routes))
    studies = _newest(listed.studies, read)
    if not studies:
        return []
    uids = [study.study_uid for study in studies]
    # Jobs first: a result is stored before its job is done, so none can fall in between.
    jobs = desk.jobs.of_models(tenant.id, call.patient_id, uids)
    results = desk.results.of_models(tenant.id, call.patient_id, uids)
    # The age chooses between models; with one alone the patient need not be read for it.
    patient = _patient(listed.gathering, call) if len(routes) > 1 else None
    readings = [
        reading
        for study in studies
        for reading in readings_of(study, routes_of(routes, study, patient), results, jobs)
    ]
    young = set(uids[:MAX_ANALYSED])
    wanted = [
        one for one in readings if one.study.study_uid in young and one.wants_analysis(desk.clock())
    ]
    asked = _dispatched(wanted, listed, call, tenant, desk)
    waiting = [one.job for one in readings if one.job is not None and one.study.study_uid in young]
    hasten_analysis(waiting, line=desk.line)
    said = (replace(one, job=asked.get(one.key, one.job)) for one in readings)
    return [
        Known(one.study, one.said, one.job, one.is_by_another_model)
        for one in said
        if one.said is not None or (one.job is not None and one.study.study_uid in young)
    ]


def _newest(studies: Sequence[StudyReference], modalities: frozenset[str]) -> list[StudyReference]:
    """Choose the newest studies, those that the model may read first."""
    unique = {study.study_uid: study for study in reversed(studies)}.values()
    by_age = sorted(unique, key=lambda study: study.started or LONG_AGO, reverse=True)
    by_age.sort(
        key=lambda study: bool(study.modalities) and modalities.isdisjoint(study.modalities)
    )
    return by_age[:NEWEST]


def _age(known: Known) -> datetime:
    return known.started or LONG_AGO


def _dispatched(
    wanted: Sequence[Reading], listed: _Listed, call: HookCall, tenant: Tenant, desk: HookDesk
) -> dict[tuple[str, str], Job]:
    patient = _patient(listed.gathering, call) if wanted else None
    if patient is None:
        return {}
    ready = ((one, _with_archive(one.study, listed, tenant)) for one in wanted)
    return {
        one.key: desk.dispatch(study, patient, one.model, one.is_done)
        for one, study in ready
        if study
    }


def _patient(gathering: Gathering, call: HookCall) -> PatientFacts | None:
    """Return who the patient is, or None: then no new analysis can be asked for."""
    try:
        document = gathering.document(PATIENT)
    except (PrefetchUnavailable, UpstreamFailed) as error:
        log.warning("patient not read: tenant=%s error=%s", call.tenant_id, type(error).__name__)
        return None
    return None if document is None else patient_in(document, call.patient_id)


def _with_archive(study: StudyReference, listed: _Listed, tenant: Tenant) -> StudyReference | None:
    """Add the archive's address where only an Endpoint names it; None: not now, perhaps later."""
    if study.archive_url or tenant.archives or listed.document is None:
        return study
    for endpoint in endpoint_ids(listed.document, study.study_uid, tenant.fhir_base):
        try:
            address = archive_address(listed.gathering.further(f"Endpoint/{endpoint}"))
        except (PrefetchUnavailable, UpstreamFailed) as error:
            log.warning("endpoint not read: tenant=%s error=%s", tenant.id, type(error).__name__)
            if error.retryable:
                return None
            continue
        if address is not None:
            return replace(study, archive_url=address)
    return study
