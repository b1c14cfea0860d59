"""The worklist: how urgent a study is, since when it waits, and whether it is asked for.

Source: issue "Worklist" (urgency, age of the study, waiting time; critical findings in time).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from cds_service.domain.alert import Reaction, acknowledged_at
from cds_service.domain.finding import AnalysisStatus, Finding, Result
from cds_service.domain.job import Job, JobState
from cds_service.domain.standing import standing_results

_EVER = datetime.max.replace(tzinfo=UTC)


class Urgency(StrEnum):
    """What is known of a study, the most urgent first."""

    CRITICAL = "critical"
    POSITIVE = "positive"
    UNCERTAIN = "uncertain"
    RUNNING = "running"
    NOT_ANALYSED = "not-analysed"
    NEGATIVE = "negative"

    @property
    def rank(self) -> int:
        """0 is the most urgent."""
        return list(Urgency).index(self)


TO_ACKNOWLEDGE = (Urgency.CRITICAL, Urgency.POSITIVE, Urgency.UNCERTAIN)


@dataclass(frozen=True, slots=True)
class ChartStudy:
    """Whose study it is and how the EHR knows it: what a user must be able to read."""

    patient_id: str
    imaging_study_id: str | None  # logical id; None: the EHR stated none, a number led here
    study_uid: str
    accessions: tuple[str, ...] = field(default=(), repr=False)  # such numbers
    service_request_id: str | None = None  # logical id of the order, where it is known


@dataclass(frozen=True, slots=True)
class Case:
    """One study of the ledger and one model: the result that stands and a job; one is there."""

    patient_id: str
    study_uid: str
    result: Result | None
    job: Job | None

    @property
    def chart_study(self) -> ChartStudy | None:
        """What to ask the EHR about; None where it never named a resource or a number."""
        asked = self.job.study if self.job is not None else None
        if self.result is not None:
            stated = self.result.imaging_study_id
        else:
            stated = asked.imaging_study_id if asked else None
        if stated is not None:
            return ChartStudy(self.patient_id, stated, self.study_uid)
        if asked is None or asked.imaging_study_id is not None or not asked.accessions:
            return None
        numbered = asked.accessions, asked.service_request_id
        return ChartStudy(self.patient_id, None, self.study_uid, *numbered)

    @property
    def started(self) -> datetime | None:
        """When the images were taken, aware."""
        stated = self.result.study_started if self.result else None
        stated = stated or (self.job.study.started if self.job else None)
        return stated if stated is None or stated.tzinfo else stated.replace(tzinfo=UTC)

    @property
    def description(self) -> str:
        """What was examined, in the EHR's words."""
        stated = self.result.study_description if self.result else ""
        return stated or (self.job.study.description if self.job else "")

    @property
    def modalities(self) -> tuple[str, ...]:
        """DICOM modalities; empty where the EHR does not say."""
        return self.job.study.modalities if self.job else ()

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found or not; empty without an analysis."""
        is_analysed = self.result and self.result.analysis.status is AnalysisStatus.ANALYSED
        return self.result.analysis.findings if self.result and is_analysed else ()

    @property
    def urgency(self) -> Urgency:
        """The gravest thing that is known; a finding stands while a newer analysis runs."""
        present = [finding for finding in self.findings if finding.present]
        if any(finding.critical for finding in present):
            return Urgency.CRITICAL
        if present:
            return Urgency.POSITIVE
        if any(finding.present is None for finding in self.findings):
            return Urgency.UNCERTAIN
        if self.findings:
            return Urgency.NEGATIVE
        is_open = self.job is not None and self.job.state is JobState.OPEN
        has_reason = self.result is not None and not (self.job and self.job.is_analysing)
        return Urgency.RUNNING if is_open and not has_reason else Urgency.NOT_ANALYSED


@dataclass(frozen=True, slots=True)
class Window:
    """What of the ledger is looked at."""

    since: datetime  # asked for or analysed since then
    first: date | None = None  # days on which the images were taken, as the EHR states them
    last: date | None = None


def cases_of(
    patient_id: str, study_uid: str, results: Sequence[Result], jobs: Sequence[Job]
) -> list[Case]:
    """Return a case for each result of a study that stands; where there is none, of its newest job.

    results, jobs   of this study, oldest first

    A job whose model has no result goes with the newest one that stands.
    """
    stands = standing_results(results)
    own = {job.model_id: job for job in jobs}
    others = {one.analysis.model.id for one in stands[1:]}
    newest = next((job for job in reversed(jobs) if job.model_id not in others), None)
    first = Case(patient_id, study_uid, stands[0] if stands else None, newest)
    return [
        first,
        *(Case(patient_id, study_uid, one, own.get(one.analysis.model.id)) for one in stands[1:]),
    ]


@dataclass(frozen=True, slots=True)
class Entry:
    """One study as the worklist judges it at one moment."""

    case: Case
    urgency: Urgency
    acknowledged_at: datetime | None  # when the last of its findings was
    waiting: timedelta | None  # for a result, or for somebody to look at it; None: nobody waits
    is_overdue: bool  # critical, and not acknowledged within the site's limit

    @property
    def order(self) -> tuple[int, bool, datetime, timedelta]:
        """Sort by it: urgency, then the oldest study, then who waits longest; undated last."""
        age, waiting = self.case.started or _EVER, self.waiting or timedelta()
        return self.urgency.rank, not self.is_overdue, age, -waiting


def entry_of(
    case: Case, reactions: Iterable[Reaction], *, limit: timedelta, now: datetime
) -> Entry:
    """Judge one study.

    reactions   to its result, by anybody
    limit       within which a critical finding is to be acknowledged, from its result on
    """
    urgency = case.urgency
    acknowledged = _acknowledged_at(case, urgency, list(reactions))
    since: datetime | None = None
    if urgency is Urgency.RUNNING and case.job is not None:
        since = case.job.created_at
    elif urgency in TO_ACKNOWLEDGE and acknowledged is None and case.result is not None:
        since = case.result.computed_at
    waiting = None if since is None else max(timedelta(), now - since)
    is_overdue = urgency is Urgency.CRITICAL and waiting is not None and waiting > limit
    return Entry(case, urgency, acknowledged, waiting, is_overdue)


def _acknowledged_at(case: Case, urgency: Urgency, reactions: list[Reaction]) -> datetime | None:
    """Return when all that asks for it was acknowledged; None while something is not."""
    if case.result is None or urgency not in TO_ACKNOWLEDGE:
        return None
    asks = [finding for finding in case.findings if finding.present]
    if urgency is Urgency.CRITICAL:
        asks = [finding for finding in asks if finding.critical]
    asks = asks or [finding for finding in case.findings if finding.present is None]
    moments = [
        acknowledged_at(reactions, result_id=case.result.id, finding_code=finding.coding.code)
        for finding in asks
    ]
    known = [moment for moment in moments if moment is not None]
    return max(known) if len(known) == len(moments) else None


@dataclass(frozen=True, slots=True)
class Choice:
    """Which studies are asked for; nothing in it names a patient."""

    finding: str | None = None  # a finding code that was looked for and not ruled out
    urgency: Urgency | None = None
    unacknowledged: bool = False
    first: date | None = None  # days on which the images were taken, as the EHR states them
    last: date | None = None
    modality: str | None = None

    def takes(self, entry: Entry) -> bool:
        """Tell whether the study is asked for."""
        case = entry.case
        day = case.started.date() if case.started else None
        return (
            (self.finding is None or self.finding in _of_concern(case))
            and self.urgency in (None, entry.urgency)
            and (not self.unacknowledged or self._is_open(entry))
            and (self.first is None or (day is not None and day >= self.first))
            and (self.last is None or (day is not None and day <= self.last))
            and (self.modality is None or self.modality in case.modalities)
        )

    @staticmethod
    def _is_open(entry: Entry) -> bool:
        return entry.urgency in TO_ACKNOWLEDGE and entry.acknowledged_at is None


def _of_concern(case: Case) -> set[str]:
    return {one.coding.code for one in case.findings if one.present is not False}
