"""The patient's studies as the EHR lists them, or as its orders' numbers lead to them.

What is shown is what this user may read: an EHR without ImagingStudy is asked, with the launch's
own token, for orders and reports. A study that an archive has under such a number is listed only
where the archive's index agrees with the EHR's Patient on whose it is; the header of each image
is held against it before any result, as always.

Source: FHIR R4 ImagingStudy, ServiceRequest, DiagnosticReport; DICOM PS3.18 10.6; threat T9.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial

from cds_service.domain.accession import referred_to
from cds_service.domain.study import StudyReference
from cds_service.errors import EhrAnswerInvalid, ScopeDenied, UpstreamFailed
from cds_service.fhir.imaging_study import patient_in
from cds_service.usecases.studies_by_accession import MAX_NUMBERS, accessions_of
from smart_app.chart import read, stated_studies
from smart_app.open_launch import OpenLaunch


def studies_of(launch: OpenLaunch) -> list[StudyReference]:
    """Return the studies; raise ScopeDenied, UpstreamFailed."""
    if not launch.tenant.has_imaging_studies:
        return _by_number(launch)
    try:
        found = read(launch, f"ImagingStudy?patient={launch.session.patient_id}")
    except (UpstreamFailed, ScopeDenied) as error:
        if error.retryable or not launch.tenant.archives:
            raise
        with suppress(UpstreamFailed, ScopeDenied):
            if numbered := _by_number(launch):
                return numbered
        raise
    return stated_studies(launch, found)


def _by_number(launch: OpenLaunch) -> list[StudyReference]:
    tenant, patient_id = launch.tenant, launch.session.patient_id
    asked = accessions_of(patient_id, tenant, partial(read, launch))[:MAX_NUMBERS]
    patient = patient_in(read(launch, f"Patient/{patient_id}"), patient_id)
    if patient is None:
        raise EhrAnswerInvalid("The EHR answered another Patient than the one asked for.")
    find = partial(launch.house.index.of_accession, tenant)
    with ThreadPoolExecutor(MAX_NUMBERS) as pool:
        found = list(pool.map(find, [one.number for one in asked]))
    return [
        study
        for accession, indexed in zip(asked, found, strict=True)
        for study in referred_to(patient, accession, indexed, tenant)
    ]
