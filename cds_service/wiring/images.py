"""Where images come from: the archives of the registrations."""

from cds_service.adapters.archive import DicomWebArchive
from cds_service.adapters.ehr import FhirRecord
from cds_service.domain.study import PatientFacts, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.settings import Settings
from cds_service.usecases.read_study import read_study
from cds_service.wiring.house import House, clock, open_house


def archive(house: House) -> DicomWebArchive:
    """Build the DICOMweb client."""
    return DicomWebArchive(house.egress.session_for, house.tokens.auth)


def study_at_ehr(
    settings: Settings, tenant: Tenant, study_uid: str
) -> tuple[StudyReference, PatientFacts | None, list[bytes]]:
    """Read one study of an EHR and its images, for a person at the command line.

    Raises NotFound when the EHR has no such study, UpstreamFailed, StudyUnusable.
    """
    house = open_house(settings)
    return read_study(
        study_uid,
        tenant,
        record=FhirRecord(house.egress, house.tokens),
        archive=archive(house),
        audit=house.audit,
        clock=clock,
    )
