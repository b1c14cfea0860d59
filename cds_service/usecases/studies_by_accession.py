"""A patient's studies where the EHR has no ImagingStudy: its orders' numbers, asked of the archive.

Source: FHIR R4 ServiceRequest, DiagnosticReport; DICOM PS3.18 10.6; threat T19.
"""

import logging
from collections.abc import Callable
from functools import partial

from cds_service.domain.accession import Accession, newest_first, referred
from cds_service.domain.hook import HookCall
from cds_service.domain.study import StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import PrefetchUnavailable, ScopeDenied, UpstreamFailed
from cds_service.fhir.accession_numbers import accessions_in
from cds_service.usecases.gather_prefetch import REPORTS, REQUESTS, path_of
from cds_service.usecases.hook_desk import HookDesk
from cds_service.usecases.ports import Resource

log = logging.getLogger(__name__)

MAX_NUMBERS = 8  # that one hook, or one page, asks the archive about: the newest


def studies_by_accession(
    call: HookCall, tenant: Tenant, desk: HookDesk, deadline: float
) -> list[StudyReference]:
    """Return the studies that the archive has of the patient's newest orders and reports.

    Raises PrefetchUnavailable or UpstreamFailed when neither of the two can be read, and
    UpstreamFailed when the archive cannot be asked until `deadline`.
    """
    gathering = desk.gatherer.start(call, tenant, deadline, (REQUESTS, REPORTS))
    asked = read_accessions(gathering.document, tenant.id, call.patient_id)[:MAX_NUMBERS]
    find = partial(desk.index.of_accession, tenant)
    found = gathering.of_each(find, [one.number for one in asked])
    return [
        study
        for accession, indexed in zip(asked, found, strict=True)
        for study in referred(accession, indexed, tenant.id)
    ]


def accessions_of(
    patient_id: str, tenant: Tenant, read: Callable[[str], Resource]
) -> list[Accession]:
    """Return the patient's numbers, the newest first; `read` takes a path; fails as below."""
    return read_accessions(lambda key: read(path_of(key, patient_id)), tenant.id, patient_id)


def read_accessions(
    read: Callable[[str], Resource | None], tenant_id: str, patient_id: str
) -> list[Accession]:
    """Return the patient's numbers, the newest first; `read` takes REQUESTS or REPORTS.

    One of the two may fail, as few EHRs number both; when both do, what the first raised is.
    """
    numbers: list[Accession] = []
    failed: list[PrefetchUnavailable | UpstreamFailed | ScopeDenied] = []
    for key in (REQUESTS, REPORTS):
        try:
            document = read(key)
        except (PrefetchUnavailable, UpstreamFailed, ScopeDenied) as error:
            log.info("%s not read: tenant=%s error=%s", key, tenant_id, type(error).__name__)
            failed.append(error)
            continue
        numbers += accessions_in(document or {})
    if len(failed) == len((REQUESTS, REPORTS)):
        raise failed[0]
    return newest_first(one for one in numbers if one.patient_id == patient_id)
