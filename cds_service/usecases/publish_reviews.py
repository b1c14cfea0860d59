"""Publish reviews: bring what clinicians said about a result into its patient's chart.

What is written is where the reviews stand, not each of them in turn: however often it is begun,
by however many workers, the chart ends at the newest verdict.

Source: architecture "One job through the house" points 5 and 6; ADR 0003 (everything or nothing).
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.finding import Result
from cds_service.domain.review import WriteLease, WriteState
from cds_service.domain.standing import standing_results
from cds_service.domain.vocabulary import marked
from cds_service.errors import LeaseLost, NotFound, RequestRefused, UpstreamFailed
from cds_service.fhir.verified_resources import verified_bundle
from cds_service.usecases.ports import (
    AuditLog,
    Clock,
    EhrWriter,
    Results,
    Reviews,
    Tenants,
    WriteLeases,
)
from cds_service.usecases.publish_findings import why_not_written

log = logging.getLogger(__name__)

_AWAY = marked("the EHR was away for too long")
_REFUSED = marked("the EHR refused the Observation")
PUBLISH_FOR = timedelta(days=7)  # how long a review waits for an EHR that is away
NEWER_RESULT = marked("a newer analysis of this study is in the chart")


@dataclass(frozen=True, slots=True)
class ReviewBench:
    """Everything that a worker needs to publish reviews."""

    tenants: Tenants
    results: Results
    reviews: Reviews
    writes: WriteLeases
    writer: EhrWriter
    audit: AuditLog
    clock: Clock


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How one attempt ended."""

    state: WriteState
    references: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def publish_reviews(result_id: str, bench: ReviewBench) -> str:
    """Write the reviews of this result if they wait; return a code for the log.

    The code is "done", "not-wanted", "failed", "postponed" (the EHR is away), "not-mine" or
    "lease-lost". Raises LedgerUnavailable: the lease then runs out.
    """
    code = "not-mine"
    while (lease := bench.writes.take(result_id)) is not None:
        try:
            code, is_settled = _work(lease, bench)
        except LeaseLost:
            return "lease-lost"
        if is_settled:
            break
    return code


def _work(lease: WriteLease, bench: ReviewBench) -> tuple[str, bool]:
    """Write once; the flag is false when somebody said something new meanwhile."""
    result = bench.results.get(lease.result_id)
    try:
        outcome = _written(result, bench)
    except (UpstreamFailed, RequestRefused) as error:
        name = type(error).__name__
        if error.retryable and bench.clock() - lease.waiting_since < PUBLISH_FOR:
            log.warning("review postponed: result=%s error=%s", result.id, name)
            bench.writes.postpone(lease, name)
            return "postponed", True
        log.warning("review refused: result=%s error=%s", result.id, name)
        why = _AWAY if error.retryable else _REFUSED
        outcome = _Outcome(WriteState.FAILED, lost=(f"{why}: {name}",))
    is_settled = bench.writes.settle(
        lease, outcome.state, references=outcome.references, lost=outcome.lost
    )
    if outcome.state is not WriteState.NOT_WANTED:
        _audit(result, outcome, bench)
    return outcome.state.value, is_settled


def _written(result: Result, bench: ReviewBench) -> _Outcome:
    try:
        tenant = bench.tenants.get(result.tenant_id)
    except NotFound:
        return _Outcome(
            WriteState.NOT_WANTED, lost=(marked("this EHR is not registered any more"),)
        )
    unwanted = why_not_written(result, tenant) or _why_outdated(result, bench.results)
    if unwanted is not None:
        return _Outcome(WriteState.NOT_WANTED, lost=(unwanted,))
    bundle = verified_bundle(result, bench.reviews.of(result.id))
    return _Outcome(WriteState.DONE, references=bench.writer.verify(tenant, bundle))


def _why_outdated(result: Result, results: Results) -> str | None:
    """A finding has one Observation, whichever result it comes from: the newest one's.

    That of a study that moved to another patient's chart is that patient's.
    """
    if result.has_moved:
        return NEWER_RESULT
    stored = results.of_models(result.tenant_id, result.patient_id, [result.study_uid])
    stands = {one.id for one in standing_results(stored)}
    return NEWER_RESULT if stands and result.id not in stands else None


def _audit(result: Result, outcome: _Outcome, bench: ReviewBench) -> None:
    bench.audit.record(
        AuditEvent(
            action=AuditAction.REVIEW_PUBLISHED,
            at=bench.clock(),
            tenant_id=result.tenant_id,
            agent="worker",
            outcome=outcome.state,
            patient_id=result.patient_id,
            study_uid=result.study_uid,
            detail=f"result {result.id}",
        )
    )
