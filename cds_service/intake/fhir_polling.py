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
from hashlib import sha256
from typing import Any

from cds_service.domain.intake import Door, Reception
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, EhrRefused, UpstreamFailed
from cds_service.fhir.bundle import next_link
from cds_service.fhir.imaging_study import last_updated, resources, stated_in
from cds_service.intake.receive import READ_S, IntakeDesk, take
from cds_service.usecases.ports import IntakeCursors, Resource

log = logging.getLogger(__name__)

OVERLAP = timedelta(minutes=2)
FIRST_LOOK_BACK = timedelta(hours=1)  # also as much as an EHR's clock may be slow
PAGE = 20  # asked for: an ImagingStudy of a CT can be a megabyte
READS_PER_ROUND = 20  # of some pages each; the rest comes in the next round
STUCK = timedelta(hours=1)  # after which one study no longer stands before all others


@dataclass(frozen=True, slots=True)
class Place:
    """How far the search has come; times as ISO 8601."""

    since: str  # everything that was changed before is done
    newest: str | None = None  # that this sweep has seen
    following: str | None = None  # address of its next page; None: a new sweep
    in_order: bool = True  # this sweep came oldest first so far
    last_read: str | None = None  # digest of the ids that the last read brought
    stuck_since: str | None = None  # when the next page could first not be read and taken


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
        is_known = place.following is not None  # a page that the EHR itself has named
        try:
            page, place = _read(place, tenant, desk)
            _require_searched(page, place)
            is_known = True
            outcomes += _taken(page, place, tenant, desk)
        except UpstreamFailed:
            if is_known:
                stuck_since = place.stuck_since or desk.clock().isoformat()
                cursors.keep(tenant.id, door, asdict(replace(place, stuck_since=stuck_since)))
            raise
        place = _after(page, place, tenant.id, desk.clock())
        cursors.keep(tenant.id, door, asdict(place))
        if place.following is None:
            break
    return outcomes


def _taken(page: Resource, place: Place, tenant: Tenant, desk: IntakeDesk) -> Counter[Reception]:
    """Take each study of a page; raise UpstreamFailed unless that was so for long already."""
    outcomes: Counter[Reception] = Counter()
    for resource in resources(page):
        study = stated_in(resource, tenant.id)
        if study is None:
            continue
        try:
            outcomes[take(study, resource, tenant, desk)] += 1
        except UpstreamFailed as error:
            if not _is_stuck(place, desk.clock()):
                raise
            log.warning("study passed over: tenant=%s error=%s", tenant.id, type(error).__name__)
    return outcomes


def _is_stuck(place: Place, now: datetime) -> bool:
    since = place.stuck_since
    return since is not None and now - datetime.fromisoformat(since) > STUCK


def _place(kept: Mapping[str, Any], now: datetime) -> Place:
    return Place(**kept) if kept else Place(since=(now - FIRST_LOOK_BACK).isoformat())


def _read(place: Place, tenant: Tenant, desk: IntakeDesk) -> tuple[Resource, Place]:
    """Read the sweep on, or a new one where its next page is gone."""
    if place.following is not None:
        try:
            return _further(place.following, tenant, desk), place
        except UpstreamFailed as error:
            # Pages are kept for minutes, and some EHRs call one that is gone a fault of theirs.
            is_gone = isinstance(error, EhrAnswerInvalid | EhrRefused)
            if not (is_gone or _is_stuck(place, desk.clock())):
                raise
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


def _after(page: Resource, place: Place, tenant_id: str, now: datetime) -> Place:
    """Return the place after this page; with the last one the sweep is over.

    So it is with a page that brings what the one before it brought: some EHRs' last page names
    itself, or another like it, as the next.
    """
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
    following, read = next_link(page), _digest(page)
    if following is not None and read != place.last_read:
        return replace(place, following=following, last_read=read, stuck_since=None)
    if following is not None:
        log.warning("an EHR's pages have no end: tenant=%s", tenant_id)
    return Place(since=max(place.since, place.newest or place.since, key=datetime.fromisoformat))


def _digest(page: Resource) -> str:
    ids = sorted({str(resource.get("id")) for resource in resources(page)})
    return sha256("\n".join(ids).encode()).hexdigest()
