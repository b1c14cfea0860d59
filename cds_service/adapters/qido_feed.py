"""The studies of these days, asked of any DICOMweb archive again and again.

DICOM has no "changed since", so what was there before is remembered: a study is told of once it
has come to rest, that is with as many instances as the time before.

Source: DICOM PS3.18 10.6 (QIDO-RS: limit, offset, includefield; range matching of StudyDate).
"""

import logging
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from cds_service.adapters.archive_json import (
    ACCESSION,
    STUDY_INSTANCES,
    ArchiveJson,
    Json,
    study_clue,
    value_of,
)
from cds_service.domain.intake import Clue, Heard
from cds_service.domain.tenant import Tenant
from cds_service.usecases.ports import Clock

log = logging.getLogger(__name__)

PAGE = 100
PAGES = 50  # of one round; more than 5,000 studies in these days are not looked at
DAY = timedelta(days=1)  # before and after: the archive's calendar is not ours


class QidoFeed:
    """The ArchiveFeed port over QIDO-RS. Its place: study UID -> [instances, whether told]."""

    def __init__(self, archive: ArchiveJson, clock: Clock) -> None:
        self._archive, self._clock = archive, clock

    def read(self, tenant: Tenant, place: Mapping[str, Any]) -> Heard:
        """Return the studies that have come to rest; raises as `ArchiveJson.get`."""
        before = place.get("studies", {})
        now: dict[str, list[object]] = {}
        clues = []
        for row in self._rows(tenant):
            clue = study_clue(row)
            if clue is None or clue.study_uid in now:
                continue
            count = value_of(row, STUDY_INSTANCES)
            known, told = before.get(clue.study_uid, (None, False))
            # An archive that does not count gives no sign of rest: it is told of at once.
            is_at_rest = count is None or (clue.study_uid in before and known == count)
            if is_at_rest and not (told and known == count):
                clues.append(clue)
            now[clue.study_uid] = [count, is_at_rest]
        return Heard(tuple(clues), {"studies": now})

    def _rows(self, tenant: Tenant) -> list[Json]:
        """Read page by page; an archive that ignores `offset` is not asked for ever."""
        today = self._clock().date()
        rows: list[Json] = []
        seen: set[Clue | None] = set()
        for page in range(PAGES):
            found = self._archive.objects(
                tenant,
                f"{tenant.web_archives[0]}/studies",
                {
                    "StudyDate": f"{today - DAY:%Y%m%d}-{today + DAY:%Y%m%d}",
                    "includefield": f"{ACCESSION},{STUDY_INSTANCES}",
                    "limit": PAGE,
                    "offset": page * PAGE,
                },
            )
            news = {study_clue(row) for row in found} - seen
            seen |= news
            rows += found
            if len(found) < PAGE or not news:
                return rows
        log.warning("archive has more studies than are looked at: tenant=%s", tenant.id)
        return rows
