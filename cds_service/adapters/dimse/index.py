"""Which studies an archive without DICOMweb has under an accession number, asked by C-FIND.

Source: DICOM PS3.4 C.4.1 (C-FIND), C.6.2.1.2 (study level keys).
"""

from pydicom import Dataset

from cds_service.adapters.dicom_dates import day_in, moment_in
from cds_service.adapters.dimse.client import Addresses, Caller, Patience
from cds_service.adapters.inbox_header import is_uid
from cds_service.domain.accession import IndexedStudy
from cds_service.domain.archive_address import dimse_address
from cds_service.domain.tenant import Tenant

MOST = 20  # studies of one number
_PATIENT = ("PatientID", "PatientBirthDate", "PatientSex", "PatientName")
_ASKED = ("StudyInstanceUID", *_PATIENT, "StudyDate", "StudyTime")
_COUNTS = ("NumberOfStudyRelatedSeries", "NumberOfStudyRelatedInstances")


class DimseIndex:
    """The StudyIndex port over the DIMSE archives of a registration."""

    def __init__(self, addresses: Addresses, patience: Patience | None = None) -> None:
        self._caller = Caller(addresses, patience or Patience())

    def of_accession(self, tenant: Tenant, number: str) -> list[IndexedStudy]:
        """Ask all archives; a study that two of them have is the first one's.

        Raises ArchiveFailed, ArchiveRefused, EndpointNotAllowed. A number may hold a wildcard:
        only equal ones count.
        """
        found: dict[str, IndexedStudy] = {}
        for base in tenant.dimse_archives:
            for row in self._rows(tenant, base, number)[:MOST]:
                uid = row["StudyInstanceUID"]
                if is_uid(uid) and row["AccessionNumber"] == number:
                    found.setdefault(uid, _indexed(row, uid, base))
        return list(found.values())

    def _rows(self, tenant: Tenant, base: str, number: str) -> list[dict[str, str]]:
        with self._caller.conversation(tenant, dimse_address(base)) as talk:
            return list(talk.find(_query(number)))


def _query(number: str) -> Dataset:
    query = Dataset()
    query.QueryRetrieveLevel = "STUDY"
    query.AccessionNumber = number
    query.ModalitiesInStudy = ""
    for keyword in _ASKED:
        setattr(query, keyword, "")
    for keyword in _COUNTS:
        setattr(query, keyword, None)
    return query


def _indexed(row: dict[str, str], study_uid: str, base: str) -> IndexedStudy:
    modalities = row["ModalitiesInStudy"].upper().split("\\")
    series, instances = (row[keyword] for keyword in _COUNTS)
    return IndexedStudy(
        study_uid=study_uid,
        archive_url=base,
        patient_id=row["PatientID"] or None,
        started=moment_in(row["StudyDate"], row["StudyTime"]),
        modalities=tuple(dict.fromkeys(one for one in modalities if one)),
        series_count=int(series) if series.isdecimal() else None,
        instance_count=int(instances) if instances.isdecimal() else None,
        accession=row["AccessionNumber"] or None,
        patient_birth_date=day_in(row["PatientBirthDate"]),
        patient_sex=row["PatientSex"] or None,
        patient_name=row["PatientName"] or None,
    )
