"""Read the worklist: the studies that one user's own token can read, the most urgent first.

A study that the user cannot read leaves no trace: it is neither shown nor counted, and whether
there is a further page depends on the readable ones alone. What is critical and not acknowledged
comes first, however old; then the newest studies by urgency, batch after batch, until the page is
full. Where that ends early the page says so: nothing was found is another matter.

Source: issue "Worklist"; threat T9 (what is not for this user is unknown).
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import chain, islice

from cds_service.domain.alert import Reaction
from cds_service.domain.tenant import Tenant
from cds_service.domain.worklist import Case, Choice, Entry, Urgency, Window, entry_of
from cds_service.usecases.ports import Alerts, Clock, ReadableStudies, Worklist

WINDOW = timedelta(days=14)  # how far back it looks unless an earlier day is asked for
BATCH = 500  # studies that are sorted together
BATCHES = 8
READ_S = 8.0  # after that the EHR is asked no further question
PAGE_ROWS = 20
CHUNK = 40  # studies per question to the EHR: two pages


@dataclass(frozen=True, slots=True)
class WorklistPage:
    """One page, from 1 on."""

    number: int
    entries: tuple[Entry, ...]
    has_next: bool
    is_cut: bool = False  # there may be more: not all of the window was looked at


def read_worklist(
    tenant: Tenant,
    choice: Choice,
    number: int,
    *,
    worklist: Worklist,
    alerts: Alerts,
    readable: ReadableStudies,
    clock: Clock,
) -> WorklistPage:
    """Return the page; an empty one past the end. Raises UpstreamFailed, LedgerUnavailable."""
    reading = _Reading(tenant, choice, worklist, alerts, readable, clock)
    start = (number - 1) * PAGE_ROWS
    found = list(islice(reading.rows(), start, start + PAGE_ROWS + 1))
    return WorklistPage(number, tuple(found[:PAGE_ROWS]), len(found) > PAGE_ROWS, reading.is_cut)


class _Reading:
    """One way through the window; no more is asked of anybody than is taken."""

    def __init__(
        self,
        tenant: Tenant,
        choice: Choice,
        worklist: Worklist,
        alerts: Alerts,
        readable: ReadableStudies,
        clock: Clock,
    ) -> None:
        self._tenant, self._choice = tenant, choice
        self._worklist, self._alerts, self._readable = worklist, alerts, readable
        self._clock, self._now = clock, clock()
        self._window = _window(choice, self._now)
        self.is_cut = False

    def rows(self) -> Iterator[Entry]:
        """Yield the readable ones in order."""
        critical = list(filter(_is_alarm, chain.from_iterable(self._batches(only_critical=True))))
        first = {_name(entry.case) for entry in critical}
        yield from self._allowed(critical)
        for batch in self._batches():
            yield from self._allowed([one for one in batch if _name(one.case) not in first])

    def _batches(self, *, only_critical: bool = False) -> Iterator[list[Entry]]:
        """Yield what is asked for, judged."""
        for number in range(BATCHES):
            if self._has_enough():
                break
            cases = self._worklist.cases(
                self._tenant.id,
                self._window,
                limit=BATCH,
                skip=number * BATCH,
                only_critical=only_critical,
            )
            yield list(filter(self._choice.takes, self._judged(cases)))
            if len({(case.patient_id, case.study_uid) for case in cases}) < BATCH:
                return
        self.is_cut = True

    def _judged(self, cases: Sequence[Case]) -> Iterator[Entry]:
        results = [case.result.id for case in cases if case.result]
        said: dict[str, list[Reaction]] = defaultdict(list)
        for reaction in self._alerts.reactions(self._tenant.id, results) if results else ():
            said[reaction.result_id].append(reaction)
        limit = timedelta(minutes=self._tenant.critical_limit_min)
        for case in cases:
            reactions = said[case.result.id] if case.result else []
            yield entry_of(case, reactions, limit=limit, now=self._now)

    def _allowed(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        wanted = sorted(entries, key=lambda entry: entry.order)
        for start in range(0, len(wanted), CHUNK):
            if self._has_enough():
                self.is_cut = True
                return
            chunk = wanted[start : start + CHUNK]
            studies = (entry.case.chart_study for entry in chunk)
            allowed = self._readable.among({study for study in studies if study is not None})
            yield from (entry for entry in chunk if entry.case.chart_study in allowed)
        self.is_cut |= self._readable.gave_up

    def _has_enough(self) -> bool:
        """Tell whether reading on takes too long, of us or of the EHR."""
        is_late = self._clock() - self._now > timedelta(seconds=READ_S)
        return is_late or self._readable.gave_up


def _window(choice: Choice, now: datetime) -> Window:
    """Return the last days, or those up to the last one that is asked for.

    A study is asked for or analysed after its images were taken.
    """
    usual = now - WINDOW
    day, before = choice.first, timedelta(hours=14)  # a day begins up to 14 h before UTC's
    if day is None:
        day, before = choice.last, WINDOW
    since = usual if day is None else min(usual, datetime.combine(day, time(), UTC) - before)
    return Window(since, choice.first, choice.last)


def _is_alarm(entry: Entry) -> bool:
    return entry.urgency is Urgency.CRITICAL and entry.acknowledged_at is None


def _name(case: Case) -> str | None:
    return case.result.id if case.result else None
