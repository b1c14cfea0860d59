"""A study at an EHR without ImagingStudy: whose it is, the order or report of its number says.

Source: FHIR R4 ServiceRequest, DiagnosticReport (search by identifier); domain/accession.
"""

from collections.abc import Iterator
from urllib.parse import quote

from cds_service.domain.accession import Accession, IndexedStudy, referred
from cds_service.domain.intake import Clue
from cds_service.domain.study import StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, EhrRefused, ScopeDenied, UpstreamFailed
from cds_service.fhir.accession_numbers import accessions_in
from cds_service.usecases.ports import EhrRecord, StudyIndex

KINDS = ("ServiceRequest", "DiagnosticReport")


def by_order(
    clue: Clue, tenant: Tenant, record: EhrRecord, index: StudyIndex, *, timeout_s: float
) -> Iterator[StudyReference]:
    """Yield the study once for each patient whose order or report has its accession number.

    What the archives list under the number completes it, so that a hook and a door make one job.
    A number that they have for several patients is nobody's; a study that they do not list is
    taken by its UID alone, for it may have been pushed.

    Raises ScopeDenied or UpstreamFailed when neither type can be read, or no archive be asked.
    """
    if clue.accession is None:
        return
    found = _accessions(clue.accession, tenant, record, timeout_s)
    if not found:
        return
    listed = index.of_accession(tenant, clue.accession)
    pushed = IndexedStudy(clue.study_uid, archive_url=next(iter(tenant.archives), ""))
    by_patient = {one.patient_id: one for one in found}
    for accession in by_patient.values():
        for study in referred(accession, listed or [pushed], tenant.id):
            if study.study_uid == clue.study_uid:
                yield study


def _accessions(
    number: str, tenant: Tenant, record: EhrRecord, timeout_s: float
) -> list[Accession]:
    """Read orders and reports of this number; one of the two may fail, few EHRs number both."""
    numbers: list[Accession] = []
    failed: list[ScopeDenied | UpstreamFailed] = []
    for kind in KINDS:
        path = f"{kind}?identifier={quote(escaped(number), safe='')}"
        try:
            document = record.read(tenant, path, authorization=None, timeout_s=timeout_s)
        except (ScopeDenied, EhrRefused, EhrAnswerInvalid) as error:
            failed.append(error)
            continue
        numbers += accessions_in(document)
    if len(failed) == len(KINDS):
        raise failed[0]
    # An identifier of another kind may have the same value.
    return [one for one in numbers if one.number == number]


def escaped(value: str) -> str:
    """Return a search value whose own marks are no search syntax (FHIR R4 search 3.1.1.4.0)."""
    for mark in "\\,|$":
        value = value.replace(mark, f"\\{mark}")
    return value
