"""Review a finding: keep what a clinician says about it after looking at the image.

Source: architecture "two buttons: agree, disagree"; threat T9 (of another patient: unknown).
"""

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.finding import Box, Result
from cds_service.domain.review import Reason, Review, Verdict, ring_of
from cds_service.domain.tenant import CLINICIANS, Tenant
from cds_service.errors import (
    DoorbellSilent,
    LedgerUnavailable,
    NotFound,
    ReviewRefused,
    ScopeDenied,
)
from cds_service.usecases.ports import AuditLog, Clock, Doorbell, Results, Reviews, ReviewWrites
from cds_service.usecases.publish_findings import why_not_written


@dataclass(frozen=True, slots=True)
class LaunchFacts:
    """Who opened the app, at which EHR, on whose chart."""

    tenant_id: str
    patient_id: str
    user: str | None  # fhirUser, "Practitioner/1"; None when the EHR did not say
    roles: tuple[str, ...] = ()  # "PractitionerRole/7", where a rule of the site asks for them

    @property
    def may_review(self) -> bool:
        """Whether this user is a clinician whose verdict counts, as a patient's own does not."""
        return self.user is not None and self.user.partition("/")[0] in CLINICIANS


def result_of_launch(launch: LaunchFacts, result_id: str, *, results: Results) -> Result:
    """Return a result of the patient whose chart is open.

    Raises NotFound for any other, in the same words as for one that does not exist.
    """
    unknown = NotFound("There is no such result for this patient.")
    try:
        result = results.get(result_id)
    except NotFound as error:
        raise unknown from error
    if (result.tenant_id, result.patient_id) != (launch.tenant_id, launch.patient_id):
        raise unknown
    return result


@dataclass(frozen=True, slots=True)
class Opinion:
    """What the clinician says: a verdict with what belongs to it. Raises as `Review`."""

    verdict: Verdict
    reason: Reason | None = None
    region: Box | None = None
    comment: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class ReviewDesk:
    """What keeps reviews, and what wakes a worker for them."""

    results: Results
    reviews: Reviews
    writes: ReviewWrites
    doorbell: Doorbell
    audit: AuditLog
    clock: Clock


def review_finding(
    launch: LaunchFacts,
    result_id: str,
    finding_code: str,
    opinion: Opinion,
    *,
    tenant: Tenant,
    desk: ReviewDesk,
) -> Review:
    """Record what a clinician says; the same said twice, as by two clicks, is kept once.

    What this EHR takes is written to the chart by a worker, from the very same moment on.
    Raises ScopeDenied when the user is no clinician whom the site lets review, ReviewRefused when
    a part is missing or wrong, and NotFound when the result is not this patient's or has no such
    finding.
    """
    if launch.user is None or not launch.may_review:
        raise ScopeDenied("Only a clinician whom the EHR names can review a finding.")
    if not tenant.lets_review(launch.user, launch.roles):
        raise ScopeDenied("This hospital lets other clinicians review findings.")
    result = result_of_launch(launch, result_id, results=desk.results)
    if finding_code not in {finding.coding.code for finding in result.analysis.findings}:
        raise NotFound("This result has no such finding.")
    review = _review(launch, result, finding_code, opinion, launch.user, desk.clock())
    known = _newest(review, desk.reviews)
    if known is not None and known.says_the_same(review):
        return known
    if known is None and opinion.verdict is Verdict.WITHDRAWN:
        return review  # nothing to take back
    to_chart = opinion.verdict is not Verdict.COMMENT and why_not_written(result, tenant) is None
    desk.reviews.record(review, to_chart=to_chart)
    _audit(review, result, desk.audit)
    if to_chart:
        _ring(ring_of(result.id), desk)
    return review


def _ring(ring: str, desk: ReviewDesk) -> None:
    """Wake a worker; the review is safe in the ledger, and the next sweep rings what failed."""
    try:
        desk.doorbell.ring(ring)
    except DoorbellSilent:
        with suppress(LedgerUnavailable):
            desk.writes.unrung([ring])


def _review(
    launch: LaunchFacts, result: Result, code: str, opinion: Opinion, user: str, at: datetime
) -> Review:
    if opinion.verdict is Verdict.DISAGREE and opinion.reason is None:
        raise ReviewRefused("A disagreement needs a reason.")
    if opinion.verdict is Verdict.COMMENT and opinion.comment is None:
        raise ReviewRefused("There is no comment.")
    try:
        return Review(
            tenant_id=launch.tenant_id,
            result_id=result.id,
            finding_code=code,
            verdict=opinion.verdict,
            reviewer=user,
            at=at,
            reason=opinion.reason,
            region=opinion.region,
            comment=opinion.comment,
        )
    except ValueError as error:
        raise ReviewRefused(f"This cannot be kept: {error}.") from error


def _newest(review: Review, reviews: Reviews) -> Review | None:
    """Return what the same person said last about the same finding."""
    own = [
        one
        for one in reviews.of(review.result_id)
        if (one.reviewer, one.finding_code) == (review.reviewer, review.finding_code)
    ]
    return own[-1] if own else None


def _audit(review: Review, result: Result, audit: AuditLog) -> None:
    audit.record(
        AuditEvent(
            action=AuditAction.FINDING_REVIEWED,
            at=review.at,
            tenant_id=review.tenant_id,
            agent=review.reviewer,
            outcome="success",
            patient_id=result.patient_id,
            study_uid=result.study_uid,
            detail=f"result {result.id}",
        )
    )
