"""List the series of a study of which the EHR states none, so that only those a model reads come.

A study that was found by its accession number has no series list, and a film beside a large CT
would be fetched with the whole of it, past every budget.

Source: DICOM PS3.18 10.6 (search for series); architecture "One job through the house", step 2.
"""

import logging
from dataclasses import replace

from cds_service.domain.study import StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import StudyUnusable, UpstreamFailed
from cds_service.usecases.ports import Archive

log = logging.getLogger(__name__)


def with_series(study: StudyReference, tenant: Tenant, archive: Archive) -> StudyReference:
    """Return the study with the series that its archive lists; as it is where that is no help.

    An archive that lists none leaves the whole study to be fetched, which says what is wrong.
    """
    if study.series or study.series_count == 1:
        return study
    try:
        return replace(study, series=archive.series(tenant, study))
    except (UpstreamFailed, StudyUnusable) as error:
        log.info("series not listed: tenant=%s error=%s", tenant.id, type(error).__name__)
        return study
