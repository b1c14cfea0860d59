"""Studies by accession number: what an EHR's orders name, and what an archive's index knows.

Some EHRs have no ImagingStudy. Their orders and reports carry the number under which the archive
files the images; the number is no proof of whose they are, so the header is checked as always.

Source: DICOM PS3.3 C.7.2.1 (Accession Number), PS3.18 10.6 (search for studies); FHIR R4
ServiceRequest and DiagnosticReport (identifier of type ACSN).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from cds_service.domain.binding import Strictness, check_patient
from cds_service.domain.study import LONG_AGO, PatientFacts, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import PatientMismatch


@dataclass(frozen=True, slots=True)
class Accession:
    """The number of an order or a report of the EHR."""

    number: str = field(repr=False)
    patient_id: str  # logical id of the FHIR Patient whose record it is in
    at: datetime | None = None  # when it was ordered, or reported
    service_request_id: str | None = None  # logical id of the order
    description: str = ""  # what was ordered or reported, in the EHR's words


@dataclass(frozen=True, slots=True)
class IndexedStudy:
    """A study as an archive lists it, without its description: it may be somebody else's."""

    study_uid: str
    archive_url: str  # where it was found
    patient_id: str | None = field(default=None, repr=False)  # the archive's own Patient ID
    started: datetime | None = None
    modalities: tuple[str, ...] = ()
    series_count: int | None = None
    instance_count: int | None = None
    accession: str | None = field(default=None, repr=False)
    patient_birth_date: date | None = field(default=None, repr=False)
    patient_sex: str | None = field(default=None, repr=False)  # DICOM: M, F, O
    patient_name: str | None = field(default=None, repr=False)  # DICOM PN
    patient_id_issuer: str = ""  # no index is asked for it


def newest_first(accessions: Iterable[Accession]) -> list[Accession]:
    """Return each number once, as its newest order or report states it, the newest first."""
    by_age = sorted(accessions, key=lambda one: one.at or LONG_AGO)
    newest = {one.number: one for one in by_age}
    return sorted(newest.values(), key=lambda one: one.at or LONG_AGO, reverse=True)


def referred(
    accession: Accession, found: Iterable[IndexedStudy], tenant_id: str
) -> list[StudyReference]:
    """Return what the archive found under this number, as studies of the order's patient.

    Numbers are unique in a department and not in an archive: one that the archive has for several
    patients names nobody's study. Each is described in the EHR's words: what the archive says of a
    study is shown to nobody before its header tells that it is this patient's.
    """
    found = list(found)
    if len({one.patient_id for one in found}) > 1:
        return []
    return [
        StudyReference(
            tenant_id=tenant_id,
            study_uid=one.study_uid,
            patient_id=accession.patient_id,
            started=one.started or accession.at,
            description=accession.description,
            modalities=one.modalities,
            series_count=one.series_count,
            instance_count=one.instance_count,
            archive_url=one.archive_url,
            accession=accession.number,
            service_request_id=accession.service_request_id,
        )
        for one in found
    ]


def referred_to(
    patient: PatientFacts, accession: Accession, found: Sequence[IndexedStudy], tenant: Tenant
) -> list[StudyReference]:
    """Return what is `referred`, if the archive's index agrees with the EHR on whose all of it is.

    As a header must, and before any image is read: nothing is said of somebody else's study.
    """
    agrees = all(_is_of(patient, one, tenant.binding) for one in found)
    return referred(accession, found, tenant.id) if agrees else []


def _is_of(patient: PatientFacts, study: IndexedStudy, strictness: Strictness) -> bool:
    try:
        check_patient(study, patient, (study.accession or "",), strictness)
    except PatientMismatch:
        return False
    return True
