"""Poll an archive for the studies that have come, and take each once the EHR knows it.

Images are often in the archive before the EHR has an ImagingStudy, so a study that the EHR does
not know waits, is looked for again less and less often, and is let go after a day. Nothing is
analysed before the EHR says whose it is.

Source: DICOM PS3.18 10.6 (QIDO-RS); Orthanc Book, "Tracking changes"; Azure DICOM "Change feed".
"""

import logging
from collections import Counter
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from cds_service.domain.intake import Clue, Door, Reception
from cds_service.domain.tenant import Tenant
from cds_service.intake.receive import IntakeDesk, receive
from cds_service.usecases.ports import ArchiveFeed, IntakeCursors

log = logging.getLogger(__name__)

PATIENCE = timedelta(days=1)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=15), timedelta(minutes=30)
WAITING_LIMIT = 2000  # studies; of more the oldest are let go
RECEIVED_PER_ROUND = 200


@dataclass(frozen=True, slots=True)
class Waiting:
    """A study that was told of and is not taken yet; times as ISO 8601."""

    uid: str
    accession: str | None
    since: str
    at: str  # when it is looked for
    pause_s: float = FIRST_PAUSE.total_seconds()

    def later(self, now: datetime) -> "Waiting":
        """Return it as it waits on, twice as long as before."""
        pause = min(2 * self.pause_s, LONGEST_PAUSE.total_seconds())
        at = (now + timedelta(seconds=self.pause_s)).isoformat()
        return replace(self, at=at, pause_s=pause)


def poll_archive(
    tenant: Tenant, desk: IntakeDesk, cursors: IntakeCursors, door: Door, feed: ArchiveFeed
) -> Counter[Reception]:
    """Take what the archive tells of, and look again for what the EHR did not know.

    Raises UpstreamFailed when the archive or the EHR cannot be asked, LedgerUnavailable; what was
    told of is kept.
    """
    kept = cursors.position(tenant.id, door)
    now = desk.clock()
    waiting = {one["uid"]: Waiting(**one) for one in kept.get("waiting", ())}
    base = tenant.archive_base if door is Door.DICOMWEB_POLLING else tenant.change_feed
    is_same = kept.get("base", base) == base  # else its place says nothing about this one
    heard = feed.read(tenant, kept.get("place", {}) if is_same else {})
    for clue in heard.clues:
        moment = now.isoformat()
        waiting[clue.study_uid] = Waiting(clue.study_uid, clue.accession, moment, moment)
    waiting = _bounded(waiting, tenant)
    position: dict[str, Any] = {
        "base": base,
        "place": heard.place,
        "waiting": _written(waiting),
    }
    cursors.keep(tenant.id, door, position)  # before the EHR is asked: it may fail half-way
    outcomes: Counter[Reception] = Counter()
    due = _due(waiting, now)
    try:
        for one in due:
            # Before: one that the EHR can never answer for must not stand before the others.
            waiting[one.uid] = one.later(now)
            outcome = receive(Clue(one.uid, one.accession), tenant, desk)
            outcomes[outcome] += 1
            del waiting[one.uid]
            if outcome is Reception.UNKNOWN and now - _moment(one.since) < PATIENCE:
                waiting[one.uid] = one.later(now)
            elif outcome is Reception.UNKNOWN:
                log.warning("study let go, no EHR knows it: tenant=%s door=%s", tenant.id, door)
    finally:
        if due:
            cursors.keep(tenant.id, door, position | {"waiting": _written(waiting)})
    return outcomes


def _due(waiting: dict[str, Waiting], now: datetime) -> list[Waiting]:
    due = sorted((one for one in waiting.values() if _moment(one.at) <= now), key=_at)
    return due[:RECEIVED_PER_ROUND]


def _bounded(waiting: dict[str, Waiting], tenant: Tenant) -> dict[str, Waiting]:
    surplus = len(waiting) - WAITING_LIMIT
    if surplus <= 0:
        return waiting
    log.warning("too many studies wait, oldest let go: tenant=%s count=%s", tenant.id, surplus)
    youngest = sorted(waiting.values(), key=lambda one: _moment(one.since))[surplus:]
    return {one.uid: one for one in youngest}


def _at(one: Waiting) -> datetime:
    return _moment(one.at)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _written(waiting: dict[str, Waiting]) -> list[dict[str, Any]]:
    return [asdict(one) for one in waiting.values()]
