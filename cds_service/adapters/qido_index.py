"""Which studies an archive has under an accession number, asked over QIDO-RS.

Source: DICOM PS3.18 10.6 (search for studies, Table 10.6.3-3).
"""

from cds_service.adapters.archive_json import (
    ACCESSION,
    STUDY_INSTANCES,
    ArchiveJson,
    Json,
    study_clue,
    value_of,
    values_of,
)
from cds_service.adapters.dicom_dates import day_in, moment_in
from cds_service.domain.accession import IndexedStudy
from cds_service.domain.tenant import Tenant

# What a hook waits for at the most; a thread of its EHR is held no longer either.
HOOK_TIMEOUT_S = 0.5
MOST = 20  # studies of one number
_PATIENT, _BIRTH_DATE, _SEX = "00100020", "00100030", "00100040"
_DATE, _TIME = "00080020", "00080030"
_MODALITIES, _SERIES = "00080061", "00201206"


class QidoIndex:
    """The StudyIndex port, over every DICOMweb archive that is registered."""

    def __init__(self, archive: ArchiveJson) -> None:
        self._archive = archive

    def of_accession(self, tenant: Tenant, number: str) -> list[IndexedStudy]:
        """Ask all archives; a study that two of them have is the first one's.

        Raises as `ArchiveJson.get`. An archive that does not match by this attribute answers
        with whatever it has, and a number may hold a wildcard: only equal ones count.
        """
        found: dict[str, IndexedStudy] = {}
        for base in tenant.web_archives:
            asked: dict[str, str | int] = {
                "AccessionNumber": number,
                "includefield": f"{_MODALITIES},{_SERIES},{STUDY_INSTANCES}",
                "limit": MOST,
            }
            for row in self._archive.objects(tenant, f"{base}/studies", asked):
                clue = study_clue(row)
                if clue is not None and _text(row, ACCESSION) == number:
                    found.setdefault(clue.study_uid, _indexed(row, clue.study_uid, base))
        return list(found.values())


def _indexed(row: Json, study_uid: str, base: str) -> IndexedStudy:
    modalities = (str(one).strip().upper() for one in values_of(row, _MODALITIES) if one)
    return IndexedStudy(
        study_uid=study_uid,
        archive_url=base,
        patient_id=_text(row, _PATIENT) or None,
        started=moment_in(_text(row, _DATE), _text(row, _TIME)),
        modalities=tuple(dict.fromkeys(modalities)),
        series_count=_count(row, _SERIES),
        instance_count=_count(row, STUDY_INSTANCES),
        accession=_text(row, ACCESSION) or None,
        patient_birth_date=day_in(_text(row, _BIRTH_DATE)),
        patient_sex=_text(row, _SEX) or None,
    )


def _count(row: Json, tag: str) -> int | None:
    value = value_of(row, tag)
    return value if type(value) is int and value >= 0 else None


def _text(row: Json, tag: str) -> str:
    value = value_of(row, tag)
    return value.strip() if isinstance(value, str) else ""
