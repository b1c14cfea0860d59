"""The series of one study, as an archive's QIDO-RS lists them.

Source: DICOM PS3.18 10.6 (search for series, Table 10.6.3-4).
"""

from cds_service.adapters.archive_json import ArchiveJson, Json, value_of
from cds_service.adapters.inbox_header import is_uid
from cds_service.domain.study import SeriesReference
from cds_service.domain.tenant import Tenant

_UID, _MODALITY, _INSTANCES = "0020000E", "00080060", "00201209"
MOST = 2000  # series of one study that are looked through


def listed_series(archive: ArchiveJson, tenant: Tenant, url: str) -> tuple[SeriesReference, ...]:
    """Return what is listed at `url`, page after page; raises as `ArchiveJson.get`.

    A list with a row that names no series is no list: what it leaves out would never be read.
    """
    found: dict[str, SeriesReference] = {}
    while True:
        asked: dict[str, str | int] = {
            "offset": len(found),
            "includefield": f"{_MODALITY},{_INSTANCES}",
        }
        page = [_series(row) for row in archive.objects(tenant, url, asked)]
        news = {one.uid: one for one in page if one is not None}
        if None in page or len(found) > MOST:
            return ()
        if news.keys() <= found.keys():
            return tuple(found.values())
        found |= news


def _series(row: Json) -> SeriesReference | None:
    uid, count = value_of(row, _UID), value_of(row, _INSTANCES)
    if not isinstance(uid, str) or not is_uid(uid):
        return None
    modality = value_of(row, _MODALITY)
    return SeriesReference(
        uid=uid,
        modality=modality.strip().upper() if isinstance(modality, str) else "",
        instance_count=count if type(count) is int and count >= 0 else None,
    )
