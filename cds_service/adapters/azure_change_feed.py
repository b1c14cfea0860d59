"""The change feed of the Azure DICOM service, version 2 of its API.

It tells of instances, so a study is told of once a round brings nothing more of it.

Source: Azure Health Data Services, "Change feed overview" (GET /changefeed with startTime, offset
and limit; events in the order of Sequence).
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cds_service.adapters.archive_json import ACCESSION, ArchiveJson, Json, study_clue
from cds_service.domain.intake import Clue, Heard, clue_of
from cds_service.domain.tenant import Tenant
from cds_service.usecases.ports import Clock

PAGE = 200  # the most that it gives
PAGES = 50  # of one round
FIRST_LOOK_BACK = timedelta(hours=1)
_IMAGES_CAME = frozenset({"create", "update"})


class AzureChangeFeed:
    """The ArchiveFeed port over the Azure DICOM service.

    Its place: `since`, the time of the last event; its `sequence`; the studies that are `moving`.
    """

    def __init__(self, archive: ArchiveJson, clock: Clock) -> None:
        self._archive, self._clock = archive, clock

    def read(self, tenant: Tenant, place: Mapping[str, Any]) -> Heard:
        """Return the studies that have come to rest; raises as `ArchiveJson.get`."""
        since = place.get("since") or _written(self._clock() - FIRST_LOOK_BACK)
        last = int(place.get("sequence", 0))
        events, is_all = self._events(tenant, since, last)
        moved = {str(one["StudyInstanceUid"]) for one in events if _brings_images(one)}
        moving = set(place.get("moving", ()))
        at_rest = sorted(moving - moved) if is_all else []
        clues = [clue for uid in at_rest if (clue := self._clue(tenant, uid)) is not None]
        if events:
            newest = max(events, key=_sequence)
            since, last = str(newest["Timestamp"]), _sequence(newest)
        still = sorted((moving | moved) - set(at_rest))
        return Heard(tuple(clues), {"since": since, "sequence": last, "moving": still})

    def _events(self, tenant: Tenant, since: str, last: int) -> tuple[list[Json], bool]:
        """Return the events after the last one, and whether they are all there are."""
        events: list[Json] = []
        for page in range(PAGES):
            found = self._archive.objects(
                tenant,
                f"{tenant.change_feed}/changefeed",
                {
                    "startTime": since,  # inclusive
                    "offset": page * PAGE,  # of this window
                    "limit": PAGE,
                    "includeMetadata": "false",
                },
            )
            events += [one for one in found if _is_news(one, since, last)]
            if len(found) < PAGE:
                return events, True
        return events, False

    def _clue(self, tenant: Tenant, uid: str) -> Clue | None:
        """Return the study with its accession number; None when it was deleted meanwhile."""
        if clue_of(uid) is None:
            return None
        query: dict[str, str | int] = {"StudyInstanceUID": uid, "includefield": ACCESSION}
        rows = self._archive.objects(tenant, f"{tenant.change_feed}/studies", query)
        clues = (study_clue(row) for row in rows)
        return next((clue for clue in clues if clue and clue.study_uid == uid), None)


def _brings_images(event: Json) -> bool:
    is_there = event.get("State") != "deleted"
    return is_there and event.get("Action") in _IMAGES_CAME and "StudyInstanceUid" in event


def _sequence(event: Json) -> int:
    number = event.get("Sequence")
    return number if type(number) is int else 0


def _is_news(event: Json, since: str, last: int) -> bool:
    """Tell whether this event came after the last one.

    The time counts too: a service that was set up anew at its address numbers from the beginning.
    """
    moment = _moment(event.get("Timestamp"))
    if moment is None:
        return False
    before = _moment(since)
    return _sequence(event) > last or (before is not None and moment > before)


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment


def _written(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
