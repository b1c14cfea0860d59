"""A patient's studies where the EHR has no ImagingStudy: its orders' numbers, asked of the archive.

Source: FHIR R4 ServiceRequest, DiagnosticReport; DICOM PS3.18 10.6; threat T19.
"""

import logging
from functools import partial

from cds_service.domain.accession import Accession, newest_first, referred
from cds_service.domain.hook import HookCall
from cds_service.domain.study import StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import PrefetchUnavailable, UpstreamFailed
from cds_service.fhir.accession_numbers import accessions_in
from cds_service.usecases.gather_prefetch import REPORTS, REQUESTS, Gathering
from cds_service.usecases.hook_desk import HookDesk

log = logging.getLogger(__name__)

MAX_NUMBERS = 8  # that one hook asks the archive about, the newest


def studies_by_accession(
    call: HookCall, tenant: Tenant, desk: HookDesk, deadline: float
) -> list[StudyReference]:
    """Return the studies that the archive has of the patient's newest orders and reports.

    Raises PrefetchUnavailable or UpstreamFailed when neither of the two can be read, and
    UpstreamFailed when the archive cannot be asked until `deadline`.
    """
    gathering = desk.gatherer.start(call, tenant, deadline, (REQUESTS, REPORTS))
    asked = newest_first(_accessions(gathering, call))[:MAX_NUMBERS]
    find = partial(desk.index.of_accession, tenant)
    found = gathering.of_each(find, [one.number for one in asked])
    return [
        study
        for accession, indexed in zip(asked, found, strict=True)
        for study in referred(accession, indexed, tenant.id)
    ]


def _accessions(gathering: Gathering, call: HookCall) -> list[Accession]:
    """Read orders and reports; one of the two may fail, as few EHRs number both."""
    numbers: list[Accession] = []
    failed: list[PrefetchUnavailable | UpstreamFailed] = []
    for key in (REQUESTS, REPORTS):
        try:
            document = gathering.document(key)
        except (PrefetchUnavailable, UpstreamFailed) as error:
            log.info("%s not read: tenant=%s error=%s", key, call.tenant_id, type(error).__name__)
            failed.append(error)
            continue
        numbers += accessions_in(document or {})
    if len(failed) == len((REQUESTS, REPORTS)):
        raise failed[0]
    return [one for one in numbers if one.patient_id == call.patient_id]
