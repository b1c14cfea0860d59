"""A job: one study to be analysed, with a lease so that one worker at a time has it.

Source: architecture "One job through the house".
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from math import ceil

from cds_service.domain.line import Priority
from cds_service.domain.study import PatientFacts, StudyReference


class JobStep(StrEnum):
    """Where a job is, as a person reads it."""

    QUEUED = "queued"
    FETCHING = "fetching"
    READING = "reading"
    INFERRING = "inferring"
    PUBLISHING = "publishing"
    DONE = "done"


class JobState(StrEnum):
    """Whether anybody will still work on it."""

    OPEN = "open"
    DONE = "done"  # analysed or not analysed: there is a result
    FAILED = "failed"  # our fault or the archive's, after the last attempt
    QUARANTINED = "quarantined"  # killed its worker twice


@dataclass(frozen=True, slots=True)
class Job:
    """One job as the ledger holds it. Times are the ledger's clock, UTC."""

    id: str
    dispatch_key: str
    study: StudyReference
    model_id: str
    step: JobStep
    state: JobState
    attempts: int
    created_at: datetime
    updated_at: datetime
    error: str | None = None  # class of the last error, such as "ArchiveFailed"
    result_id: str | None = None
    priority: Priority = Priority.ASKED

    @property
    def is_analysing(self) -> bool:
        """Whether a result is still to come; one that is only being written back is there."""
        return self.state is JobState.OPEN and self.step is not JobStep.PUBLISHING

    @property
    def is_lost(self) -> bool:
        """Whether nobody will work on it unless somebody asks again."""
        return self.state in {JobState.FAILED, JobState.QUARANTINED}


HEARD_FOR = timedelta(seconds=45)  # an unanswered ring is repeated well before
PATIENCE = 2  # times the usual duration, after which a job is late
SLACK = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Wait:
    """What is known about the time until a job is done."""

    before: int  # jobs that were asked for earlier and have no result yet
    is_held: bool  # whether a worker has it now
    seconds: int | None  # at least 1; None: nobody can say


def foresee(
    *,
    before: int,
    usual_s: float | None,
    now: datetime,
    held_since: datetime | None,
    rung_at: datetime | None,
    queued_at: datetime,
) -> Wait:
    """Estimate the wait from what was seen, or not at all.

    Nothing is promised for a job that no worker has heard of, nor for one that is late.

    usual_s      median duration of recent jobs; None before any is done
    held_since   when a worker took it; None while it waits
    rung_at      when a worker was last told of it; None when nobody could be told
    """
    seconds: float | None = None
    if usual_s is not None and held_since is not None:
        elapsed = (now - held_since).total_seconds()
        seconds = usual_s - elapsed if elapsed < PATIENCE * usual_s else None
    elif usual_s is not None and rung_at is not None and now - rung_at < HEARD_FOR:
        promised = usual_s * (before + 1)
        is_late = now - queued_at > timedelta(seconds=PATIENCE * promised) + SLACK
        seconds = None if is_late else promised
    return Wait(before, held_since is not None, None if seconds is None else max(1, ceil(seconds)))


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job until `expires_at`; a lower token than the ledger's is void."""

    job: Job
    token: int
    owner: str
    expires_at: datetime
    patient: PatientFacts | None  # unsealed for the holder only
