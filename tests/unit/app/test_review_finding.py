"""What a clinician says counts on the open patient's own result, and is kept once."""

from dataclasses import replace
from typing import Any

import pytest

from cds_service.domain.audit import AuditAction
from cds_service.domain.finding import Box
from cds_service.domain.review import COMMENT_LIMIT, Reason, Review, Verdict
from cds_service.domain.tenant import Tenant, Vendor
from cds_service.errors import NotFound, ReviewRefused, ScopeDenied
from cds_service.usecases.review_finding import LaunchFacts, Opinion, ReviewDesk, review_finding
from tests.builders import NOW, a_result, a_tenant
from tests.fakes.ledger import FakeAuditLog, FakeDoorbell, FakeResults
from tests.fakes.reviews import FakeReviews

CLINICIAN = LaunchFacts("t-1", "p-1", "Practitioner/1")
CODE = "233604007"
AGREE = Opinion(Verdict.AGREE)


class Desk:
    """The ledger's side of a review."""

    def __init__(self, tenant: Tenant | None = None, *, is_silent: bool = False) -> None:
        self.tenant = tenant or a_tenant()
        self.results, self.reviews = FakeResults(stored=[a_result()]), FakeReviews()
        self.audit, self.doorbell = FakeAuditLog(), FakeDoorbell(is_silent=is_silent)

    def review(
        self,
        opinion: Opinion = AGREE,
        launch: LaunchFacts = CLINICIAN,
        result_id: str = "r-1",
        code: str = CODE,
    ) -> Review:
        ledger = (self.results, self.reviews, self.reviews.writes)
        desk = ReviewDesk(*ledger, self.doorbell, self.audit, lambda: NOW)
        return review_finding(launch, result_id, code, opinion, tenant=self.tenant, desk=desk)


def test_the_verdict_is_kept_and_audited_without_its_content() -> None:
    desk = Desk()

    desk.review()

    (review,), (event,) = desk.reviews.all, desk.audit.events
    assert (review.reviewer, review.verdict, review.at) == ("Practitioner/1", Verdict.AGREE, NOW)
    assert event.action is AuditAction.FINDING_REVIEWED and "agree" not in event.detail


@pytest.mark.parametrize("user", [None, "Patient/p-1", "RelatedPerson/2", "Person/1"])
def test_only_a_clinician_reviews(user: str | None) -> None:
    desk = Desk()

    with pytest.raises(ScopeDenied):
        desk.review(launch=LaunchFacts("t-1", "p-1", user))

    assert desk.reviews.all == []


@pytest.mark.parametrize("rule", [(), ("PractitionerRole",), ("Practitioner/2",), ("Patient",)])
def test_only_a_clinician_whom_the_site_s_rule_names_reviews(rule: tuple[str, ...]) -> None:
    desk = Desk()
    desk.tenant = replace(desk.tenant, reviewers=rule)

    with pytest.raises(ScopeDenied, match="other clinicians"):
        desk.review()

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
        desk.review(AGREE, launch, result_id, code)

    assert desk.reviews.all == [] and desk.audit.events == []


# --- one of each ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "opinion",
    [
        AGREE,
        Opinion(Verdict.DISAGREE, reason=Reason.ARTEFACT, comment="a wire"),
        Opinion(Verdict.WRONG_PLACE, region=Box(1, 2, 3, 4)),
        Opinion(Verdict.COMMENT, comment="Seen on the ward"),
    ],
    ids=lambda opinion: opinion.verdict,
)
def test_a_second_click_says_nothing_new(opinion: Opinion) -> None:
    desk = Desk()

    first, second = desk.review(opinion), desk.review(opinion)

    assert first == second and desk.reviews.all == [first]
    assert len(desk.audit.events) == 1


def test_taking_back_goes_into_the_history_once_and_needs_something_to_take_back() -> None:
    desk = Desk()
    desk.review(Opinion(Verdict.WITHDRAWN))
    assert desk.reviews.all == []

    for opinion in (AGREE, Opinion(Verdict.WITHDRAWN), Opinion(Verdict.WITHDRAWN)):
        desk.review(opinion)

    assert [one.verdict for one in desk.reviews.all] == [Verdict.AGREE, Verdict.WITHDRAWN]


@pytest.mark.parametrize(
    ("opinion", "words"),
    [
        (Opinion(Verdict.DISAGREE), "needs a reason"),
        (Opinion(Verdict.COMMENT), "no comment"),
        (Opinion(Verdict.WRONG_PLACE), "where the finding is"),
        (Opinion(Verdict.AGREE, region=Box(1, 2, 3, 4)), "where the finding is"),
        (Opinion(Verdict.AGREE, reason=Reason.OTHER), "only a disagreement"),
        (Opinion(Verdict.WRONG_PLACE, region=Box(0, 0, 0, 4)), "inside an image"),
        (Opinion(Verdict.WRONG_PLACE, region=Box(-1, 0, 4, 4)), "inside an image"),
        (Opinion(Verdict.WRONG_PLACE, region=Box(0, 65535, 4, 4)), "inside an image"),
        (Opinion(Verdict.AGREE, comment="x" * (COMMENT_LIMIT + 1)), "characters"),
    ],
)
def test_what_is_incomplete_or_impossible_is_refused(opinion: Opinion, words: str) -> None:
    desk = Desk()

    with pytest.raises(ReviewRefused, match=words):
        desk.review(opinion)

    assert desk.reviews.all == []


# --- on to the chart --------------------------------------------------------------------------


def test_a_verdict_waits_for_the_chart_and_wakes_a_worker() -> None:
    desk = Desk()

    desk.review()

    assert desk.reviews.writes.take("r-1") is not None
    assert desk.doorbell.rung == ["review:r-1"]


@pytest.mark.parametrize(
    "tenant", [{"vendor": Vendor.EPIC}, {"vendor": Vendor.ORACLE}, {"client_id": None}]
)
def test_where_the_ehr_takes_nothing_the_verdict_is_only_kept(tenant: dict[str, Any]) -> None:
    desk = Desk(a_tenant(**tenant))

    desk.review()

    assert len(desk.reviews.all) == 1
    assert desk.reviews.writes.of("r-1") is None and desk.doorbell.rung == []


def test_a_comment_alone_is_not_for_the_chart() -> None:
    desk = Desk()

    desk.review(Opinion(Verdict.COMMENT, comment="Seen on the ward"))

    assert desk.reviews.writes.of("r-1") is None


def test_a_queue_that_is_away_leaves_the_verdict_to_the_next_sweep() -> None:
    desk = Desk(is_silent=True)

    desk.review()

    assert desk.reviews.writes.reclaim() == ["review:r-1"]
