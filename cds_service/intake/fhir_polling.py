"""Poll an EHR for the ImagingStudies that it has changed since it was last asked.

A sweep is one search, page by page; how far it has come is kept after each read, and the moment
from which the next one asks moves only when the sweep is over, so a crash or a busy EHR costs
time and never a study. The moment is the EHR's own `meta.lastUpdated`, less an overlap: equal
times and late commits are read twice, which asks for nothing twice.

Source: FHIR R4 search.html 3.1.1.5.2 (_lastUpdated), http.html 3.1.0.10 (paging).
"""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from cds_service.domain.intake import Door, Reception
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid
from cds_service.fhir.bundle import next_link
from cds_service.fhir.imaging_study import last_updated, resources, stated_in
from cds_service.intake.receive import READ_S, IntakeDesk, take
from cds_service.usecases.ports import IntakeCursors, Resource

log = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=2)
FIRST_LOOK_BACK = timedelta(hours=1)  # also as much as an EHR's clock may be slow
PAGE = 20  # asked for: an ImagingStudy of a CT can be a megabyte
READS_PER_ROUND = 20  # of some pages each; the rest comes in the next round


@dataclass(frozen=True, slots=True)
class Place:
    """How far the search has come; times as ISO 8601."""

    since: str  # everything that was changed before is done
    newest: str | None = None  # that this sweep has seen
    following: str | None = None  # address of its next page; None: a new sweep
    in_order: bool = True  # this sweep came oldest first so far


def poll_fhir(
    tenant: Tenant, desk: IntakeDesk, cursors: IntakeCursors, door: Door = Door.FHIR_POLLING
) -> Counter[Reception]:
    """Take what has changed, until there is no more or it was enough for one round.

    door   whose place it goes on from

    Raises UpstreamFailed or ScopeDenied when the EHR cannot be asked, LedgerUnavailable; what
    was done until then is kept.
    """
    outcomes: Counter[Reception] = Counter()
    place = _place(cursors.position(tenant.id, door), desk.clock())
    for _ in range(READS_PER_ROUND):
        page, place = _read(place, tenant, desk)
        _require_searched(page, place)
        for resource in resources(page):
            study = stated_in(resource, tenant.id)
            if study is not None:
                outcomes[take(study, resource, tenant, desk)] += 1
        place = _after(page, place, desk.clock())
        cursors.keep(tenant.id, door, asdict(place))
        if place.following is None:
            break
    return outcomes


def _place(kept: Mapping[str, Any], now: datetime) -> Place:
    return Place(**kept) if kept else Place(since=(now - FIRST_LOOK_BACK).isoformat())


def _read(place: Place, tenant: Tenant, desk: IntakeDesk) -> tuple[Resource, Place]:
    """Read the sweep on, or a new one where its next page is gone."""
    if place.following is not None:
        try:
            return _further(place.following, tenant, desk), place
        except EhrAnswerInvalid:  # pages are kept for minutes, and we may have been away
            log.warning("sweep begun anew: tenant=%s", tenant.id)
            place = _begun_anew(place)
    since = datetime.fromisoformat(place.since) - OVERLAP
    text = since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    path = f"ImagingStudy?_lastUpdated=ge{text}&_sort=_lastUpdated&_count={PAGE}"
    return desk.record.read(tenant, path, authorization=None, timeout_s=READ_S), place


def _further(url: str, tenant: Tenant, desk: IntakeDesk) -> Resource:
    return desk.record.read_on(tenant, "ImagingStudy", url, authorization=None, timeout_s=READ_S)


def _begun_anew(place: Place) -> Place:
    """Keep what is certain: oldest first, everything up to the newest that was seen is done."""
    is_done = place.in_order and place.newest is not None
    return Place(since=str(place.newest) if is_done else place.since)


def _require_searched(page: Resource, place: Place) -> None:
    """Refuse what was changed earlier than asked for.

    An EHR that does not know the parameter may ignore it, and answer its whole record each time.
    """
    earliest = datetime.fromisoformat(place.since) - OVERLAP - timedelta(seconds=1)
    moments = (last_updated(resource) for resource in resources(page))
    if any(moment is not None and moment < earliest for moment in moments):
        raise EhrAnswerInvalid("The EHR does not search ImagingStudy by _lastUpdated.")


def _after(page: Resource, place: Place, now: datetime) -> Place:
    """Return the place after this page; with the last one the sweep is over."""
    for resource in resources(page):
        moment = last_updated(resource)
        if moment is None:
            continue
        # A time to come would hide what is changed until then.
        seen = min(moment, now).isoformat()
        newest = place.newest
        if newest is not None and datetime.fromisoformat(newest) > min(moment, now):
            place = replace(place, in_order=False)
        else:
            place = replace(place, newest=seen)
    following = next_link(page)
    if following is not None:
        return replace(place, following=following)
    return Place(since=max(place.since, place.newest or place.since, key=datetime.fromisoformat))
