"""A job: one study to be analysed, with a lease so that one worker at a time has it.

Source: DESIGN "One job through the house".
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

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

    @property
    def is_analysing(self) -> bool:
        """Whether a result is still to come; one that is only being written back is there."""
        return self.state is JobState.OPEN and self.step is not JobStep.PUBLISHING


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a job until `expires_at`; a lower token than the ledger's is void."""

    job: Job
    token: int
    owner: str
    expires_at: datetime
    patient: PatientFacts | None  # unsealed for the holder only
