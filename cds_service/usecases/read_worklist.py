"""Read the worklist: the studies that one user's own token can read, the most urgent first.

A study that the user cannot read leaves no trace: it is neither shown nor counted, and whether
there is a further page depends on the readable ones alone.

Source: issue "Worklist"; threat T9 (what is not for this user is unknown).
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import islice

from cds_service.domain.alert import Reaction
from cds_service.domain.tenant import Tenant
from cds_service.domain.worklist import Case, Choice, Entry, entry_of
from cds_service.usecases.ports import Alerts, ReadableStudies, Worklist

WINDOW = timedelta(days=14)  # how far back it looks unless an earlier day is asked for
CASE_LIMIT = 500
PAGE_ROWS = 20
CHUNK = 40  # studies per question to the EHR: two pages


@dataclass(frozen=True, slots=True)
class WorklistPage:
    """One page, from 1 on."""

    number: int
    entries: tuple[Entry, ...]
    has_next: bool


def read_worklist(
    tenant: Tenant,
    choice: Choice,
    number: int,
    *,
    worklist: Worklist,
    alerts: Alerts,
    readable: ReadableStudies,
    now: datetime,
) -> WorklistPage:
    """Return the page; an empty one past the end. Raises UpstreamFailed, LedgerUnavailable."""
    cases = worklist.cases(tenant.id, since=_since(choice, now), limit=CASE_LIMIT)
    results = [case.result.id for case in cases if case.result]
    said: dict[str, list[Reaction]] = defaultdict(list)
    for reaction in alerts.reactions(tenant.id, results) if results else ():
        said[reaction.result_id].append(reaction)
    limit = timedelta(minutes=tenant.critical_limit_min)
    judged = (entry_of(case, _of(case, said), limit=limit, now=now) for case in cases)
    wanted = sorted(filter(choice.takes, judged), key=lambda entry: entry.order)
    start = (number - 1) * PAGE_ROWS
    found = list(islice(_readable(wanted, readable), start, start + PAGE_ROWS + 1))
    return WorklistPage(number, tuple(found[:PAGE_ROWS]), len(found) > PAGE_ROWS)


def _since(choice: Choice, now: datetime) -> datetime:
    usual = now - WINDOW
    if choice.first is None:
        return usual
    # A day begins up to 14 h before UTC's.
    asked = datetime.combine(choice.first, time(), UTC) - timedelta(hours=14)
    return min(usual, asked)


def _of(case: Case, said: dict[str, list[Reaction]]) -> list[Reaction]:
    return said[case.result.id] if case.result else []


def _readable(entries: Sequence[Entry], readable: ReadableStudies) -> Iterator[Entry]:
    """Yield the readable ones in order; no more is asked of the EHR than is taken."""
    for start in range(0, len(entries), CHUNK):
        chunk = entries[start : start + CHUNK]
        studies = {entry.case.chart_study for entry in chunk} - {None}
        allowed = readable.among(study for study in studies if study is not None)
        yield from (entry for entry in chunk if entry.case.chart_study in allowed)
