"""A verdict counts when a clinician gives it on the open patient's own result."""

import pytest

from cds_service.domain.audit import AuditAction
from cds_service.domain.review import Verdict
from cds_service.errors import NotFound, ScopeDenied
from cds_service.usecases.review_finding import LaunchFacts, review_finding
from tests.builders import NOW, a_result
from tests.fakes.ledger import FakeAuditLog, FakeResults, FakeReviews

CLINICIAN = LaunchFacts("t-1", "p-1", "Practitioner/1")
CODE = "233604007"


class Desk:
    """The ledger's side of a review."""

    def __init__(self) -> None:
        self.results, self.reviews = FakeResults(stored=[a_result()]), FakeReviews()
        self.audit = FakeAuditLog()

    def review(self, launch: LaunchFacts, result_id: str = "r-1", code: str = CODE) -> None:
        review_finding(
            launch,
            result_id,
            code,
            Verdict.AGREE,
            results=self.results,
            reviews=self.reviews,
            audit=self.audit,
            clock=lambda: NOW,
        )


def test_the_verdict_is_kept_and_audited_without_its_content() -> None:
    desk = Desk()

    desk.review(CLINICIAN)

    (review,), (event,) = desk.reviews.all, desk.audit.events
    assert (review.reviewer, review.verdict, review.at) == ("Practitioner/1", Verdict.AGREE, NOW)
    assert event.action is AuditAction.FINDING_REVIEWED and "agree" not in event.detail


@pytest.mark.parametrize("user", [None, "Patient/p-1", "RelatedPerson/2", "Person/1"])
def test_only_a_clinician_reviews(user: str | None) -> None:
    desk = Desk()

    with pytest.raises(ScopeDenied):
        desk.review(LaunchFacts("t-1", "p-1", user))

    assert desk.reviews.all == []


@pytest.mark.parametrize(
    ("launch", "result_id", "code"),
    [
        (LaunchFacts("t-1", "p-2", "Practitioner/1"), "r-1", CODE),
        (LaunchFacts("t-2", "p-1", "Practitioner/1"), "r-1", CODE),
        (CLINICIAN, "r-unknown", CODE),
        (CLINICIAN, "r-1", "another-finding"),
    ],
)
def test_what_is_not_this_patient_s_is_not_found(
    launch: LaunchFacts, result_id: str, code: str
) -> None:
    desk = Desk()

    with pytest.raises(NotFound):
        desk.review(launch, result_id, code)

    assert desk.reviews.all == [] and desk.audit.events == []
