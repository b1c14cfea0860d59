"""Receive word of a study: find it and its patient in the EHR, and ask for its analysis.

Whoever rang is not believed: the study and whose it is are read from the registered EHR with our
own token. So a hook and a door that tell of one study make one job, and a study that the EHR does
not know makes none.

Source: architecture "Three keys"; FHIR R4 ImagingStudy (search by identifier); threats T7 and T23.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import quote

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.finding import ModelIdentity
from cds_service.domain.intake import Clue, Reception
from cds_service.domain.job import Job, JobState
from cds_service.domain.routing import Route, routes_of
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, EhrRefused
from cds_service.fhir.imaging_study import (
    archive_address,
    endpoint_ids,
    patient_in,
    resources,
    stated_in,
)
from cds_service.intake.orders import by_order, escaped
from cds_service.usecases.ports import (
    AuditLog,
    Clock,
    EhrRecord,
    Jobs,
    Resource,
    Results,
    StudyIndex,
)
from cds_service.usecases.read_by_models import Reading, readings_of

log = logging.getLogger(__name__)

READ_S = 20.0  # for one read of the EHR; nobody waits for it
# A record that is migrated touches every study it has: what is old waits for a hook to ask.
OLDEST = timedelta(days=30)
NO_IMAGES = frozenset({"no-endpoint", "not-in-archive"})
WITHOUT_IMAGES = NO_IMAGES | {"partly-in-archive"}


@dataclass(frozen=True, slots=True)
class IntakeDesk:
    """The collaborators of every door."""

    record: EhrRecord
    jobs: Jobs
    results: Results
    audit: AuditLog
    # As the hooks': a study, its patient, a model that reads it, whether it is done again.
    dispatch: Callable[[StudyReference, PatientFacts, ModelIdentity, bool], Job]
    routes: Callable[[str], Sequence[Route]]  # the models enabled for a tenant, one at least
    index: StudyIndex  # of the archives, for an EHR without ImagingStudy
    clock: Clock


def receive(clue: Clue, tenant: Tenant, desk: IntakeDesk) -> Reception:
    """Look for this study in the EHR and take it.

    Raises UpstreamFailed or ScopeDenied when the EHR cannot be asked, LedgerUnavailable: then
    nothing was done, and the door tells of it again.
    """
    found = find(clue, tenant, desk)
    return found if isinstance(found, Reception) else take(*found, tenant, desk)


def find(
    clue: Clue, tenant: Tenant, desk: IntakeDesk
) -> tuple[StudyReference, Resource] | Reception:
    """Return the study as the EHR states it, by its UID, else by its accession number.

    Else UNKNOWN, or AMBIGUOUS where several patients have it. Raises as `receive`.
    """
    if tenant.has_imaging_studies:
        found = list(_by_uid(clue, tenant, desk)) or list(_by_accession(clue, tenant, desk))
    else:
        orders = by_order(clue, tenant, desk.record, desk.index, timeout_s=READ_S)
        found = [(study, {}) for study in orders]
    if not found:
        return Reception.UNKNOWN
    if len({study.patient_id for study, _ in found}) > 1:
        _note(AuditAction.PATIENT_MISMATCH, "refused", found[0][0], desk, "several patients")
        log.error("patient mismatch: a study of several patients: tenant=%s", tenant.id)
        return Reception.AMBIGUOUS
    return found[0]


def take(
    study: StudyReference,
    resource: Resource,
    tenant: Tenant,
    desk: IntakeDesk,
    *,
    brought: bool = False,
) -> Reception:
    """Ask for the analysis of a study that the EHR has just stated, where it wants one.

    resource   the ImagingStudy, whose endpoint is read where it only refers to one; empty where
               the EHR has none
    brought    its images are here, so that what failed for want of them is done again

    Raises as `receive`.
    """
    routes = desk.routes(tenant.id)
    if not _is_for(routes, study, desk):
        return Reception.PASSED
    uids = [study.study_uid]
    # As a hook does: jobs first, a result is stored before its job is done.
    jobs = desk.jobs.of_models(tenant.id, study.patient_id, uids)
    results = desk.results.of_models(tenant.id, study.patient_id, uids)
    # The age chooses between models; with one alone the patient need not be read for it.
    patient = _patient(study, tenant, desk) if len(routes) > 1 else None
    wanted = [
        one
        for one in readings_of(study, routes_of(routes, study, patient), results, jobs)
        if one.wants_analysis(desk.clock()) or (brought and _lacked_images(one))
    ]
    if not wanted:
        return Reception.KNOWN
    patient = patient or _patient(study, tenant, desk)
    if patient is None:
        return Reception.UNKNOWN
    study = _with_archive(study, resource, tenant, desk)
    for one in wanted:
        desk.dispatch(study, patient, one.model, one.is_done)
    _note(AuditAction.EHR_READ, "success", study, desk, "Patient for an intake door")
    return Reception.ASKED


def _lacked_images(reading: Reading) -> bool:
    if reading.job is not None and reading.job.state is not JobState.DONE:
        return reading.job.state is JobState.FAILED
    reason = None if reading.own is None else reading.own.analysis.reason
    return reason is not None and reason.code in WITHOUT_IMAGES


def _by_uid(
    clue: Clue, tenant: Tenant, desk: IntakeDesk
) -> Iterator[tuple[StudyReference, Resource]]:
    uid = clue.study_uid
    # Most EHRs keep the prefix that FHIR asks for; a comma means "or".
    wanted = f"urn:dicom:uid|urn:oid:{uid},urn:dicom:uid|{uid}"
    for resource in _search(wanted, tenant, desk):
        study = stated_in(resource, tenant.id)
        if study is not None and study.study_uid == uid:
            yield study, resource


def _by_accession(
    clue: Clue, tenant: Tenant, desk: IntakeDesk
) -> Iterator[tuple[StudyReference, Resource]]:
    if clue.accession is None:
        return
    for resource in _search(escaped(clue.accession), tenant, desk):
        study = stated_in(resource, tenant.id, clue.study_uid)
        # An identifier of another kind may have the same value, and one order several studies.
        if study and study.accession == clue.accession and study.study_uid == clue.study_uid:
            yield study, resource


def _search(identifier: str, tenant: Tenant, desk: IntakeDesk) -> Iterator[Resource]:
    path = f"ImagingStudy?identifier={quote(identifier, safe='')}"
    yield from resources(desk.record.read(tenant, path, authorization=None, timeout_s=READ_S))


def _is_for(routes: Sequence[Route], study: StudyReference, desk: IntakeDesk) -> bool:
    """Tell whether an enabled model may read it: nobody has asked, so no refusal is owed."""
    read = frozenset[str]().union(*(route.use.modalities for route in routes))
    if study.modalities and read.isdisjoint(study.modalities):
        return False
    return study.started is None or desk.clock() - study.started <= OLDEST


def _patient(study: StudyReference, tenant: Tenant, desk: IntakeDesk) -> PatientFacts | None:
    path = f"Patient/{study.patient_id}"
    try:
        document = desk.record.read(tenant, path, authorization=None, timeout_s=READ_S)
    except (EhrAnswerInvalid, EhrRefused):  # merged away, or not for us: the others go on
        log.warning("patient of a study not read: tenant=%s", tenant.id)
        return None
    return patient_in(document, study.patient_id)


def _with_archive(
    study: StudyReference, resource: Resource, tenant: Tenant, desk: IntakeDesk
) -> StudyReference:
    """Add the archive's address where only an Endpoint names it."""
    if study.archive_url or tenant.archives:
        return study
    for endpoint in endpoint_ids(resource, study.study_uid, tenant.fhir_base):
        path = f"Endpoint/{endpoint}"
        try:
            found = desk.record.read(tenant, path, authorization=None, timeout_s=READ_S)
        except (EhrAnswerInvalid, EhrRefused):
            continue
        if address := archive_address(found):
            return replace(study, archive_url=address)
    return study


def _note(
    action: AuditAction, outcome: str, study: StudyReference, desk: IntakeDesk, detail: str
) -> None:
    desk.audit.record(
        AuditEvent(
            action=action,
            at=desk.clock(),
            tenant_id=study.tenant_id,
            agent="sightline",
            outcome=outcome,
            patient_id=study.patient_id if outcome == "success" else None,
            study_uid=study.study_uid,
            detail=detail,
        )
    )
