"""Review a finding: keep what a clinician says about it after looking at the image.

Source: DESIGN "two buttons: agree, disagree"; threat T9 (a result of another patient is unknown).
"""

from dataclasses import dataclass

from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.finding import Result
from cds_service.domain.review import Review, Verdict
from cds_service.errors import NotFound, ScopeDenied
from cds_service.usecases.ports import AuditLog, Clock, Results, Reviews

REVIEWER_TYPES = ("Practitioner", "PractitionerRole")  # a patient's own login does not review


@dataclass(frozen=True, slots=True)
class LaunchFacts:
    """Who opened the app, at which EHR, on whose chart."""

    tenant_id: str
    patient_id: str
    user: str | None  # fhirUser, "Practitioner/1"; None when the EHR did not say

    @property
    def may_review(self) -> bool:
        """Whether this user is a clinician whose verdict counts."""
        return self.user is not None and self.user.partition("/")[0] in REVIEWER_TYPES


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


def review_finding(
    launch: LaunchFacts,
    result_id: str,
    finding_code: str,
    verdict: Verdict,
    *,
    results: Results,
    reviews: Reviews,
    audit: AuditLog,
    clock: Clock,
) -> Review:
    """Record the verdict; a later one by the same clinician replaces it.

    Raises ScopeDenied when the user is not known as a clinician, and NotFound when the result
    is not this patient's or has no such finding.
    """
    if launch.user is None or not launch.may_review:
        raise ScopeDenied("Only a clinician whom the EHR names can review a finding.")
    result = result_of_launch(launch, result_id, results=results)
    if finding_code not in {finding.coding.code for finding in result.analysis.findings}:
        raise NotFound("This result has no such finding.")
    review = Review(
        tenant_id=launch.tenant_id,
        result_id=result.id,
        finding_code=finding_code,
        verdict=verdict,
        reviewer=launch.user,
        at=clock(),
    )
    reviews.record(review)
    audit.record(
        AuditEvent(
            action=AuditAction.FINDING_REVIEWED,
            at=review.at,
            tenant_id=launch.tenant_id,
            agent=launch.user,
            outcome="success",
            patient_id=launch.patient_id,
            study_uid=result.study_uid,
            detail=f"result {result.id}",
        )
    )
    return review
