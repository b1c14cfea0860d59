"""Publish findings: write a result back to the EHR, as far as that EHR lets anybody write.

Source: architecture "Write-back is negotiated per tenant"; ADR 0003.
"""

import logging

from cds_service.domain.finding import AnalysisStatus, Result
from cds_service.domain.publication import Publication, PublicationState
from cds_service.domain.tenant import Tenant, Vendor
from cds_service.domain.vocabulary import marked
from cds_service.errors import RequestRefused, UpstreamFailed
from cds_service.fhir.finding_resources import finding_bundle
from cds_service.usecases.ports import EhrWriter

log = logging.getLogger(__name__)

# Neither vendor takes an arbitrary imaging Observation: Epic files them as flowsheet rows, Oracle
# takes vital signs and laboratory only (their capability statements of July and August 2026).
_CARD_ONLY = {
    Vendor.EPIC: marked("Epic files Observations as flowsheet rows"),
    Vendor.ORACLE: marked("Oracle Health takes vital signs and laboratory Observations only"),
}


def publish_findings(result: Result, tenant: Tenant, *, writer: EhrWriter) -> Publication:
    """Write the result's Observations, report, device and provenance; say what became of it.

    Doing it again has the effect of doing it once. Raises UpstreamFailed when a later attempt
    may succeed (`retryable`); a refusal for good is returned as a FAILED publication, because
    the finding is still on the card and in the app.
    """
    unwanted = why_not_written(result, tenant)
    if unwanted is not None:
        return Publication(result.id, PublicationState.NOT_WANTED, lost=(unwanted,))
    try:
        references = writer.publish(tenant, finding_bundle(result))
    except (UpstreamFailed, RequestRefused) as error:
        if error.retryable:
            raise
        log.warning("publication refused: result=%s error=%s", result.id, type(error).__name__)
        lost = (f"the EHR refused the Observation: {type(error).__name__}",)
        return Publication(result.id, PublicationState.FAILED, lost=lost)
    return Publication(result.id, PublicationState.DONE, references)


def why_not_written(result: Result, tenant: Tenant) -> str | None:
    """Return why this EHR gets nothing about this result, in our words; None when it does."""
    if result.analysis.status is not AnalysisStatus.ANALYSED:
        return marked("a study that was not analysed has no Observation")
    return why_nothing_written(tenant)


def why_nothing_written(tenant: Tenant) -> str | None:
    """Return why this EHR gets nothing about any result, in our words; None when it does."""
    if tenant.client_id is None:
        return marked("the registration has no client id, so nothing can be written")
    if not tenant.has_backend_client:
        return marked("the registration is for a client without keys, so nothing can be written")
    return _CARD_ONLY.get(tenant.vendor)
