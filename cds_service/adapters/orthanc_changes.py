"""Orthanc's log of changes: a study is told of when Orthanc says that it is stable.

How long Orthanc waits for further images is its own setting, StableAge (60 s unless changed).

Source: Orthanc Book, "Tracking changes" (GET /changes?since=&limit=, ?last).
"""

import re
from collections.abc import Mapping
from typing import Any

from cds_service.adapters.archive_json import ArchiveJson
from cds_service.domain.intake import Clue, Heard, clue_of
from cds_service.domain.tenant import Tenant
from cds_service.errors import ArchiveFailed

STABLE = "StableStudy"
PAGE = 500
PAGES = 20  # of one round
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{8}){4}")


class OrthancChanges:
    """The ArchiveFeed port over Orthanc's REST API. Its place: the last change that was read."""

    def __init__(self, archive: ArchiveJson) -> None:
        self._archive = archive

    def read(self, tenant: Tenant, place: Mapping[str, Any]) -> Heard:
        """Return the studies that are stable since; the first time none. Raises as `get`."""
        last = self._last(tenant)
        after = place.get("after", last)
        if last < after:  # another database: what it has is new to us
            after = 0
        stable: dict[str, None] = {}
        for _ in range(PAGES):
            if after >= last:
                break
            answer = self._changes(tenant, {"since": after, "limit": PAGE})
            stable |= dict.fromkeys(_stable_in(answer["Changes"]))
            after = answer["Last"]
        clues = (self._clue(tenant, one) for one in stable)
        return Heard(tuple(clue for clue in clues if clue), {"after": after})

    def _last(self, tenant: Tenant) -> int:
        return int(self._changes(tenant, {"last": ""})["Last"])

    def _changes(self, tenant: Tenant, params: Mapping[str, str | int]) -> dict[str, Any]:
        answer = self._archive.get(tenant, f"{tenant.change_feed}/changes", params)
        if (
            not isinstance(answer, dict)
            or not isinstance(answer.get("Changes"), list)
            or type(answer.get("Last")) is not int
        ):
            raise ArchiveFailed("The address of the change feed is not Orthanc's.")
        return answer

    def _clue(self, tenant: Tenant, orthanc_id: str) -> Clue | None:
        """Return which study this is; None when it was deleted meanwhile."""
        study = self._archive.get(tenant, f"{tenant.change_feed}/studies/{orthanc_id}")
        tags = study.get("MainDicomTags") if isinstance(study, dict) else None
        if not isinstance(tags, dict):
            return None
        return clue_of(tags.get("StudyInstanceUID"), tags.get("AccessionNumber"))


def _stable_in(changes: list[object]) -> list[str]:
    return [
        one["ID"]
        for one in changes
        if isinstance(one, dict)
        and one.get("ChangeType") == STABLE
        and isinstance(one.get("ID"), str)
        and _ID.fullmatch(one["ID"])
    ]
