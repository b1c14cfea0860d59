"""Read one study of an EHR, its patient and its images, by its UID, for a person who asks.

An EHR without ImagingStudy knows no UID, and Oracle Health's finds orders by their patient alone:
there the person says whose study it is.

Source: FHIR R4 ImagingStudy (search by identifier), ServiceRequest, DiagnosticReport; architecture
"One job through the house".
"""

from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from cds_service.domain.accession import referred_to
from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import NotFound, SightlineError
from cds_service.fhir.imaging_study import (
    archive_address,
    endpoint_ids,
    logical_id,
    patient_in,
    resources,
    studies_in,
)
from cds_service.usecases.ports import (
    Archive,
    AuditLog,
    Budget,
    Clock,
    EhrRecord,
    Resource,
    StudyIndex,
)
from cds_service.usecases.studies_by_accession import accessions_of

READ_S = 20.0  # for one read of the EHR
AGENT = "command-line"


def read_study(
    study_uid: str,
    tenant: Tenant,
    *,
    patient_id: str | None = None,
    record: EhrRecord,
    index: StudyIndex,
    archive: Archive,
    audit: AuditLog,
    clock: Clock,
) -> tuple[StudyReference, PatientFacts | None, list[bytes]]:
    """Return the study, its patient where the EHR describes one, and its instances.

    patient_id   logical id of the Patient whose orders and reports name the study's number; None:
                 the EHR's ImagingStudy is searched

    Raises NotFound when the EHR has no such study, UpstreamFailed, ScopeDenied, StudyUnusable.
    """

    def read(path: str) -> Resource:
        return record.read(tenant, path, authorization=None, timeout_s=READ_S)

    if patient_id is None:
        study, stated = _study(read(_search(study_uid)), study_uid, tenant)
        patient = patient_in(read(f"Patient/{study.patient_id}"), study.patient_id)
    else:
        stated = {}
        study, patient = _numbered(study_uid, patient_id, tenant, read, index)
    _note(study, AuditAction.EHR_READ, "success", audit, clock)
    if not (study.archive_url or tenant.archives):
        named = (
            read(f"Endpoint/{one}") for one in endpoint_ids(stated, study_uid, tenant.fhir_base)
        )
        address = next(filter(None, map(archive_address, named)), None)
        study = replace(study, archive_url=address)
    try:
        images = list(archive.instances(tenant, study, Budget()))
    except SightlineError as error:
        _note(study, AuditAction.STUDY_FETCHED, type(error).__name__, audit, clock)
        raise
    _note(study, AuditAction.STUDY_FETCHED, "success", audit, clock)
    return study, patient, images


def _search(study_uid: str) -> str:
    # Most EHRs keep the prefix that FHIR asks for; a comma means "or".
    wanted = f"urn:dicom:uid|urn:oid:{study_uid},urn:dicom:uid|{study_uid}"
    return f"ImagingStudy?identifier={quote(wanted, safe='')}"


def _study(found: Resource, study_uid: str, tenant: Tenant) -> tuple[StudyReference, Resource]:
    """Return the study as its own subject's, and its resource; raise NotFound."""
    for resource in resources(found):
        subject = logical_id(resource.get("subject"), "Patient")
        for study in studies_in(resource, tenant.id, subject or ""):
            if study.study_uid == study_uid:
                return study, resource
    raise NotFound("The EHR has no such study with images.")


def _numbered(
    study_uid: str,
    patient_id: str,
    tenant: Tenant,
    read: Callable[[str], Resource],
    index: StudyIndex,
) -> tuple[StudyReference, PatientFacts]:
    """Return the study that an archive has under a number of this patient; raise NotFound."""
    named = logical_id({"reference": f"Patient/{patient_id}"}, "Patient")
    patient = patient_in(read(f"Patient/{named}"), named) if named else None
    if named is None or patient is None:
        raise NotFound("The EHR has no such patient.")
    for accession in accessions_of(named, tenant, read):
        listed = index.of_accession(tenant, accession.number)
        for study in referred_to(patient, accession, listed, tenant):
            if study.study_uid == study_uid:
                return study, patient
    raise NotFound(
        "No archive has this study as this patient's, under the accession number of an order or "
        "report of theirs."
    )


def _note(
    study: StudyReference, action: AuditAction, outcome: str, audit: AuditLog, clock: Clock
) -> None:
    audit.record(
        AuditEvent(
            action=action,
            at=clock(),
            tenant_id=study.tenant_id,
            agent=AGENT,
            outcome=outcome,
            patient_id=study.patient_id,
            study_uid=study.study_uid,
            detail="for sightline route",
        )
    )
