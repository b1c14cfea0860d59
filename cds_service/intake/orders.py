"""A study at an EHR without ImagingStudy: whose it is, the order or report of its number says.

Oracle Health's EHR finds both by patient or id alone (Millennium Platform APIs, ServiceRequest and
DiagnosticReport, seen 2026-11-23). There the archive's Patient ID says whose orders to read.

Source: FHIR R4 ServiceRequest, DiagnosticReport, Patient (search by identifier); domain/accession.
"""

from collections.abc import Callable, Iterator
from urllib.parse import quote

from cds_service.domain.accession import Accession, IndexedStudy, referred
from cds_service.domain.intake import Clue
from cds_service.domain.study import StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, EhrRefused, ScopeDenied, UpstreamFailed
from cds_service.fhir.accession_numbers import accessions_in
from cds_service.fhir.imaging_study import has_identifier, logical_id, resources
from cds_service.usecases.ports import EhrRecord, Resource, StudyIndex
from cds_service.usecases.studies_by_accession import accessions_of

KINDS = ("ServiceRequest", "DiagnosticReport")
Read = Callable[[str], Resource]


def by_order(
    clue: Clue, tenant: Tenant, record: EhrRecord, index: StudyIndex, *, timeout_s: float
) -> Iterator[StudyReference]:
    """Yield the study once for each patient whose order or report has its accession number.

    What the archives list under the number completes it, so that a hook and a door make one job.
    A number that they have for several patients is nobody's; a study that they do not list is
    taken by its UID alone, for it may have been pushed.

    Raises ScopeDenied or UpstreamFailed when neither type can be read, or no archive be asked.
    """
    number = clue.accession
    if number is None:
        return

    def read(path: str) -> Resource:
        return record.read(tenant, path, authorization=None, timeout_s=timeout_s)

    try:
        found = _found_by_number(number, read)
    except (ScopeDenied, EhrRefused, EhrAnswerInvalid):
        listed = index.of_accession(tenant, number)
        archived_as = {one.patient_id for one in listed}
        if archived_as <= {None}:
            raise
        found = _found_by_patient(number, archived_as, tenant, read)
    else:
        listed = index.of_accession(tenant, number) if found else []
    pushed = IndexedStudy(clue.study_uid, archive_url=next(iter(tenant.archives), ""))
    by_patient = {one.patient_id: one for one in found}
    for accession in by_patient.values():
        for study in referred(accession, listed or [pushed], tenant.id):
            if study.study_uid == clue.study_uid:
                yield study


def _found_by_number(number: str, read: Read) -> list[Accession]:
    """Read orders and reports of this number; one of the two may fail, few EHRs number both."""
    numbers: list[Accession] = []
    failed: list[ScopeDenied | UpstreamFailed] = []
    for kind in KINDS:
        path = f"{kind}?identifier={quote(escaped(number), safe='')}"
        try:
            document = read(path)
        except (ScopeDenied, EhrRefused, EhrAnswerInvalid) as error:
            failed.append(error)
            continue
        numbers += accessions_in(document)
    if len(failed) == len(KINDS):
        raise failed[0]
    # An identifier of another kind may have the same value.
    return [one for one in numbers if one.number == number]


def _found_by_patient(
    number: str, archived_as: set[str | None], tenant: Tenant, read: Read
) -> list[Accession]:
    """Read orders and reports of whom the archive has the number for, unless they are several."""
    if len(archived_as) != 1:
        return []
    identifier = str(*archived_as)
    document = read(f"Patient?identifier={quote(escaped(identifier), safe='')}")
    patient_ids = (
        logical_id({"reference": f"Patient/{one.get('id')}"}, "Patient")
        for one in resources(document)
        if one.get("resourceType") == "Patient" and has_identifier(one, "", identifier)
    )
    return [
        one
        for patient_id in patient_ids
        if patient_id is not None
        for one in accessions_of(patient_id, tenant, read)
        if one.number == number
    ]


def escaped(value: str) -> str:
    """Return a search value whose own marks are no search syntax (FHIR R4 search 3.1.1.4.0)."""
    for mark in "\\,|$":
        value = value.replace(mark, f"\\{mark}")
    return value
