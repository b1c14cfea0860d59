"""Where images come from: the archives of the registrations."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from cds_service.adapters.archive import DicomWebArchive
from cds_service.adapters.archive_json import ArchiveJson
from cds_service.adapters.archives import EitherArchive, EitherIndex
from cds_service.adapters.asked_syntax import Unable
from cds_service.adapters.ehr import FhirRecord
from cds_service.adapters.qido_index import QidoIndex
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import ArchiveRefused
from cds_service.settings import Settings
from cds_service.usecases.ports import Archive, StudyIndex
from cds_service.usecases.read_study import READ_S, read_study
from cds_service.wiring.house import House, clock, open_house

log = logging.getLogger(__name__)

_MISSING = "An archive that speaks DIMSE needs pynetdicom: install the extra `dimse`."


def archive(house: House, unable: Unable | None = None) -> EitherArchive:
    """Build the client of every archive, by the scheme of its registered address.

    unable   remembers which archives cannot convert, for whoever takes images in any form
    """

    def dimse() -> Archive:
        with dimse_extra():
            from cds_service.adapters.dimse.retrieval import DimseArchive
        return DimseArchive(house.egress.addresses)

    web = DicomWebArchive(house.egress.session_for, house.archive_auth, unable=unable)
    return EitherArchive(web, dimse)


def study_index(house: House, *, timeout_s: float) -> EitherIndex:
    """Build what finds studies by accession number; no archive is waited for longer."""

    def dimse() -> StudyIndex:
        with dimse_extra():
            from cds_service.adapters.dimse.client import Patience
            from cds_service.adapters.dimse.index import DimseIndex
        return DimseIndex(house.egress.addresses, Patience(timeout_s, timeout_s, timeout_s))

    web = ArchiveJson(house.egress.session_for, house.archive_auth, timeout_s=timeout_s)
    return EitherIndex(QidoIndex(web), dimse)


@contextmanager
def dimse_extra() -> Iterator[None]:
    """Say what is missing where an archive is registered that only an extra speaks to.

    As the archive's failure: a hook goes on without its studies.
    """
    try:
        yield
    except ImportError as error:
        log.error(_MISSING)
        raise ArchiveRefused(_MISSING) from error


def study_at_ehr(
    settings: Settings, tenant: Tenant, study_uid: str, patient_id: str | None = None
) -> tuple[StudyReference, PatientFacts | None, list[bytes]]:
    """Read one study of an EHR and its images, for a person at the command line.

    patient_id   whose study it is, at an EHR without ImagingStudy

    Raises NotFound when the EHR has no such study, UpstreamFailed, StudyUnusable.
    """
    house = open_house(settings)
    return read_study(
        study_uid,
        tenant,
        patient_id=patient_id,
        record=FhirRecord(house.egress, house.tokens),
        index=study_index(house, timeout_s=READ_S),
        archive=archive(house),
        audit=house.audit,
        clock=clock,
    )
