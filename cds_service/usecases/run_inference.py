"""Run inference: take a job from the ledger through archive, model and EHR to its end.

Each step leaves its mark in the ledger before the next begins, so that a crash between any two
resumes: a stored result is not computed again, a recorded publication is not written again.

Source: architecture "One job through the house".
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.binding import MISMATCH_CODES, check_patient
from cds_service.domain.finding import (
    Analysis,
    AnalysisStatus,
    Reason,
    Result,
    Timings,
    result_key,
)
from cds_service.domain.job import JobStep, Lease
from cds_service.domain.publication import Publication, PublicationState
from cds_service.domain.study import StudyReference, series_for, stated_instances
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    LeaseLost,
    PatientMismatch,
    SightlineError,
    StudyUnusable,
    UpstreamFailed,
)
from cds_service.usecases.analyse_study import analyse_study
from cds_service.usecases.list_series import with_series
from cds_service.usecases.ports import (
    Archive,
    AuditLog,
    Budget,
    Classifier,
    Clock,
    EhrWriter,
    ImageReader,
    Leases,
    NewId,
    Publications,
    SourceInstance,
    Tenants,
    WorkerResults,
)
from cds_service.usecases.publish_findings import publish_findings
from cds_service.usecases.publish_reviews import ReviewBench

log = logging.getLogger(__name__)

PUBLISH_FOR = timedelta(days=7)  # how long a result waits for an EHR that is away


@dataclass(frozen=True, slots=True)
class Workbench:
    """Everything that a worker needs to do a job."""

    tenants: Tenants
    leases: Leases
    results: WorkerResults
    publications: Publications
    archive: Archive
    reader: ImageReader
    classifiers: Callable[[str], Classifier]  # by model id; raises InferenceFailed
    writer: EhrWriter
    audit: AuditLog
    clock: Clock
    new_id: NewId
    attempts: int  # how often a job is tried
    budget: Budget
    reviews: ReviewBench  # for what clinicians said about results


def run_inference(rung_id: str, owner: str, bench: Workbench) -> str:
    """Do the job whose turn it is, at the ring for any; return a code for the log.

    The code is "done", "not-mine", "lease-lost", "postponed" (the write-back waits for an EHR that
    is away) or the class of the error that ended it. Raises LedgerUnavailable when the job cannot
    even be taken or given back: its lease then runs out.
    """
    lease = bench.leases.take_in_turn(rung_id, owner)
    if lease is None:
        return "not-mine"
    try:
        return _work(lease, bench)
    except LeaseLost:
        return "lease-lost"
    except SightlineError as error:
        return _give_up(lease, bench, error)


def _work(lease: Lease, bench: Workbench) -> str:
    tenant = bench.tenants.get(lease.job.study.tenant_id)
    result = _computed(lease, tenant, bench)
    if bench.publications.of(result.id) is None:
        lease = bench.leases.advance(lease, JobStep.PUBLISHING)
        publication = _published(result, tenant, lease, bench)
        if publication is None:
            return "postponed"
        bench.publications.record(publication, lease)
        if publication.state is not PublicationState.NOT_WANTED:
            _audit(bench, lease, AuditAction.RESULT_PUBLISHED, publication.state)
    bench.leases.finish(lease, result.id)
    return "done"


def _published(
    result: Result, tenant: Tenant, lease: Lease, bench: Workbench
) -> Publication | None:
    """Write the result back; None when the EHR is away and the job waits for it."""
    try:
        return publish_findings(result, tenant, writer=bench.writer)
    except UpstreamFailed as error:
        name = type(error).__name__
        if bench.clock() - lease.job.created_at < PUBLISH_FOR:
            log.warning("write-back postponed: job=%s error=%s", lease.job.id, name)
            bench.leases.give_up(lease, name, retry=True)
            return None
        lost = (f"the EHR was away for too long: {name}",)
        return Publication(result.id, PublicationState.FAILED, lost=lost)


def _computed(lease: Lease, tenant: Tenant, bench: Workbench) -> Result:
    """Return the job's result: the stored one if these very images have been analysed."""
    study = lease.job.study
    stored = bench.results.of_models(study.tenant_id, study.patient_id, [study.study_uid])
    known = next((one for one in stored if one.analysis.model.id == lease.job.model_id), None)
    if known is not None and lease.job.step is JobStep.PUBLISHING:
        return known  # only its write-back was postponed
    if bench.results.claim(lease):
        _audit(bench, lease, AuditAction.PATIENT_MISMATCH, "refused", "study-moved")
        log.error("patient mismatch: study moved: job=%s tenant=%s", lease.job.id, tenant.id)
    lease = bench.leases.advance(lease, JobStep.FETCHING)
    try:
        study = with_series(study, tenant, bench.archive)
        instances = _fetched(lease, study, tenant, bench)
    except StudyUnusable as error:
        if error.retryable and lease.job.attempts < bench.attempts:
            raise
        return _stored(lease, bench, _refused(lease, bench, error), ())
    digests = tuple(instance.digest for instance in instances)
    is_known = known is not None and known.key == _key(lease, bench, digests)
    if known is not None and is_known and _agree(instances, lease, study, tenant, bench):
        return known

    def advance(step: JobStep) -> None:
        bench.leases.advance(lease, step)

    classifier = bench.classifiers(lease.job.model_id)
    analysis = analyse_study(
        instances,
        reader=bench.reader,
        classifier=classifier,
        patient=lease.patient,
        accessions=study.accessions,
        strictness=tenant.binding,
        expected_study_uid=study.study_uid,
        stated_instances=stated_instances(study, classifier.intended_use.modalities),
        earlier_pixels=(pixel for one in stored for pixel in one.analysis.pixel_digests),
        on_step=advance,
    )
    return _stored(lease, bench, analysis, digests)


def _fetched(
    lease: Lease, study: StudyReference, tenant: Tenant, bench: Workbench
) -> list[SourceInstance]:
    """Return the study's instances; the audit log notes how the fetch ended."""
    modalities = bench.classifiers(lease.job.model_id).intended_use.modalities
    budget = replace(bench.budget, series=series_for(study, modalities))
    try:
        fetched = bench.archive.instances(tenant, study, budget)
        instances = [SourceInstance(one) for one in fetched]
    except SightlineError as error:
        _audit(bench, lease, AuditAction.STUDY_FETCHED, type(error).__name__)
        raise
    _audit(bench, lease, AuditAction.STUDY_FETCHED, "success")
    return instances


def _agree(
    instances: list[SourceInstance],
    lease: Lease,
    study: StudyReference,
    tenant: Tenant,
    bench: Workbench,
) -> bool:
    """Tell whether images that were analysed before are this patient's as the EHR has them now."""
    for instance in instances:
        try:
            header = bench.reader.header(instance.data)
            if lease.patient is not None:
                check_patient(header, lease.patient, study.accessions, tenant.binding)
        except PatientMismatch:
            return False
        except StudyUnusable:
            continue  # it was not used then either
    return True


def _stored(lease: Lease, bench: Workbench, analysis: Analysis, digests: tuple[str, ...]) -> Result:
    study = lease.job.study
    is_mismatch = analysis.reason is not None and analysis.reason.code in MISMATCH_CODES
    key = _key(lease, bench, digests, is_mismatch=is_mismatch)
    if is_mismatch and not _is_newest(key, lease, bench):
        _audit(bench, lease, AuditAction.PATIENT_MISMATCH, "refused", ", ".join(analysis.notes))
        log.error("patient mismatch: job=%s tenant=%s", lease.job.id, study.tenant_id)
    elif "name-differs" in analysis.notes:
        _audit(bench, lease, AuditAction.NAME_DIFFERS, "noted")
    if "pixels-differ" in analysis.notes:
        _audit(bench, lease, AuditAction.PIXELS_DIFFER, "refused")
        log.error("pixels differ: job=%s tenant=%s", lease.job.id, study.tenant_id)
    result = Result(
        id=bench.new_id(),
        key=key,
        tenant_id=study.tenant_id,
        patient_id=study.patient_id,
        study_uid=study.study_uid,
        imaging_study_id=study.imaging_study_id,
        study_started=study.started,
        study_description=study.description,
        analysis=analysis,
        computed_at=bench.clock(),
    )
    return bench.results.save(result, lease)


def _is_newest(key: str, lease: Lease, bench: Workbench) -> bool:
    """Tell whether this model's newest result of the study is the one with this key."""
    study = lease.job.study
    stored = bench.results.of_models(study.tenant_id, study.patient_id, [study.study_uid])
    return any(one.key == key for one in stored)


def _key(
    lease: Lease, bench: Workbench, digests: tuple[str, ...], *, is_mismatch: bool = False
) -> str:
    study, model = lease.job.study, bench.classifiers(lease.job.model_id).identity
    owner = (study.tenant_id, study.patient_id, study.study_uid)
    what = (digests, model.digest, model.configuration)
    return result_key(*owner, *what, is_mismatch=is_mismatch)


def _refused(lease: Lease, bench: Workbench, error: StudyUnusable) -> Analysis:
    return Analysis(
        study_uid=lease.job.study.study_uid,
        status=AnalysisStatus.NOT_ANALYSED,
        reason=Reason(error.code, error.text),
        model=bench.classifiers(lease.job.model_id).identity,
        findings=(),
        instances=(),
        instance_digests=(),
        timings=Timings(0.0, 0.0, 0.0, 0.0),
    )


def _give_up(lease: Lease, bench: Workbench, error: SightlineError) -> str:
    name = type(error).__name__
    log.warning("job failed: job=%s attempt=%d error=%s", lease.job.id, lease.job.attempts, name)
    try:
        bench.leases.give_up(lease, name, retry=error.retryable)
    except LeaseLost:
        return "lease-lost"
    return name


def _audit(
    bench: Workbench, lease: Lease, action: AuditAction, outcome: str, detail: str = ""
) -> None:
    study = lease.job.study
    bench.audit.record(
        AuditEvent(
            action=action,
            at=bench.clock(),
            tenant_id=study.tenant_id,
            agent="worker",
            outcome=outcome,
            patient_id=study.patient_id,
            study_uid=study.study_uid,
            detail=detail,
        )
    )
