"""What clinicians said reaches the chart once, in its last form, or the page is told why not."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from cds_service.domain.audit import AuditAction
from cds_service.domain.finding import MOVED, Coding, Result
from cds_service.domain.review import Reason, Review, ReviewWrite, Verdict, WriteState
from cds_service.domain.tenant import Tenant, Vendor
from cds_service.errors import EhrRefused, LedgerUnavailable, SightlineError
from cds_service.usecases.ports import Resource
from cds_service.usecases.publish_findings import publish_findings
from cds_service.usecases.publish_reviews import PUBLISH_FOR, ReviewBench, publish_reviews
from tests.builders import NOW, PNEUMONIA, a_finding, a_model, a_result, a_tenant, an_analysis
from tests.fakes.ledger import FakeAuditLog, FakeClock, FakeResults, FakeTenants
from tests.fakes.record import FakeEhrWriter
from tests.fakes.reviews import FakeReviews


class House:
    """A worker's surroundings, with one result in the ledger and in the chart."""

    def __init__(self, *results: Result, **writer: Any) -> None:
        self.clock, self.audit = FakeClock(), FakeAuditLog()
        self.tenants = FakeTenants(a_tenant())
        self.results = FakeResults(stored=results or [a_result()])
        self.reviews = FakeReviews(self.clock)
        self.writer = FakeEhrWriter(**writer)

    @property
    def bench(self) -> ReviewBench:
        ledger = (self.tenants, self.results, self.reviews, self.reviews.writes)
        return ReviewBench(*ledger, self.writer, self.audit, self.clock)

    def say(self, verdict: Verdict = Verdict.AGREE, **changes: Any) -> None:
        self.clock.advance(1)
        values: dict[str, Any] = {"reviewer": "Practitioner/1", "at": self.clock.now}
        review = Review("t-1", "r-1", PNEUMONIA.code, verdict, **(values | changes))
        self.reviews.record(review, to_chart=True)

    def work(self) -> str:
        return publish_reviews("r-1", self.bench)

    @property
    def write(self) -> ReviewWrite:
        write = self.reviews.writes.of("r-1")
        assert write is not None
        return write

    def stored(self, kind: str) -> list[Resource]:
        return [one for name, one in self.writer.stored.items() if name.startswith(f"{kind}/")]

    @property
    def status(self) -> str:
        [observation] = self.stored("Observation")
        return str(observation["status"])

    def parts(self) -> list[str]:
        """Return what each Provenance's agent did, in the order in which they were written."""
        return [one["agent"][0]["type"]["coding"][0]["code"] for one in self.stored("Provenance")]


def test_agreement_makes_the_observation_final_with_its_verifier() -> None:
    house = House()
    publish_findings(a_result(), a_tenant(), writer=house.writer)
    house.say()

    assert house.work() == "done"

    verifier = house.stored("Provenance")[-1]
    assert (house.status, house.write.state) == ("final", WriteState.DONE)
    assert verifier["agent"][0]["who"] == {"reference": "Practitioner/1"}
    assert house.parts() == ["author", "verifier"]
    [event] = house.audit.events
    assert (event.action, event.outcome) == (AuditAction.REVIEW_PUBLISHED, "done")


def test_a_review_before_the_finding_s_own_write_back_writes_everything() -> None:
    house = House()
    house.say()

    house.work()
    publish_findings(a_result(), a_tenant(), writer=house.writer)  # the job's, late

    assert house.status == "final" and house.parts() == ["author", "verifier"]


def test_the_chart_follows_a_change_of_mind_and_its_undoing() -> None:
    house, statuses = House(), []

    for verdict, reason in (
        (Verdict.AGREE, None),
        (Verdict.DISAGREE, Reason.ARTEFACT),
        (Verdict.WITHDRAWN, None),
        (Verdict.AGREE, None),
    ):
        house.say(verdict, reason=reason)
        house.work()
        statuses.append(house.status)

    assert statuses == ["final", "entered-in-error", "preliminary", "final"]
    assert house.parts() == ["author", "verifier", "verifier", "enterer", "verifier"]


def test_many_reviews_at_once_end_at_the_newest() -> None:
    house = House()
    for verdict in (Verdict.AGREE, Verdict.WITHDRAWN, Verdict.DISAGREE, Verdict.AGREE) * 3:
        house.say(verdict)

    assert house.work() == "done"
    assert house.work() == "not-mine"

    assert house.status == "final" and house.writer.calls == 1


def test_of_two_clinicians_the_newest_stands_and_undoing_it_leaves_the_other_s() -> None:
    house = House()
    house.say(Verdict.AGREE)
    house.say(Verdict.DISAGREE, reviewer="Practitioner/2")
    house.work()
    assert house.status == "entered-in-error"

    house.say(Verdict.WITHDRAWN, reviewer="Practitioner/2")
    house.work()

    assert house.status == "final"
    assert house.stored("Provenance")[-1]["agent"][0]["who"] == {"reference": "Practitioner/1"}


def test_what_is_said_while_it_is_written_is_written_by_the_same_worker() -> None:
    house = House()
    house.say()
    write = house.writer.verify

    def says_more(tenant: Tenant, bundle: Resource) -> tuple[str, ...]:
        house.writer.verify = write  # type: ignore[method-assign]
        house.say(Verdict.DISAGREE)
        return write(tenant, bundle)

    house.writer.verify = says_more  # type: ignore[method-assign]

    assert house.work() == "done"

    assert (house.status, house.write.state) == ("entered-in-error", WriteState.DONE)


@pytest.mark.parametrize("dies", ["before the write", "after the write"])
def test_a_worker_killed_at_any_step_leaves_one_of_each(
    dies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House()
    house.say()

    class Killed(BaseException):
        """Nothing is cleaned up, as after SIGKILL."""

    def kill(*_: object, **__: object) -> None:
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        if dies == "before the write":
            patched.setattr(house.writer, "verify", kill)
        else:
            patched.setattr(house.reviews.writes, "settle", kill)
        house.work()
    assert house.work() == "not-mine"  # its lease still runs
    house.clock.advance(121)

    assert house.reviews.writes.reclaim() == ["review:r-1"]
    assert house.work() == "done"

    assert house.status == "final" and house.parts() == ["author", "verifier"]


def test_an_ehr_that_is_away_is_waited_for_and_then_given_up() -> None:
    house = House(fails_first=2)
    house.say()

    assert house.work() == "postponed"
    assert (house.write.state, house.write.error) == (WriteState.WAITING, "EhrTimedOut")

    house.clock.advance(PUBLISH_FOR.total_seconds())
    assert house.work() == "failed"
    assert house.write.lost == ("the EHR was away for too long: EhrTimedOut",)


def test_a_refusal_for_good_says_so() -> None:
    house = House(error=EhrRefused("The EHR answered 403 to a write."))
    house.say()

    assert house.work() == "failed"

    assert house.write.lost == ("the EHR refused the Observation: EhrRefused",)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda house: house.tenants.remove("t-1"), "not registered any more"),
        (lambda house: replace_tenant(house, vendor=Vendor.EPIC), "flowsheet rows"),
        (lambda house: replace_tenant(house, client_id=None), "no client id"),
    ],
)
def test_an_ehr_that_takes_nothing_any_more_is_not_asked(
    change: Callable[[House], None], words: str
) -> None:
    house = House()
    house.say()
    change(house)

    assert house.work() == "not-wanted"

    assert words in house.write.lost[0] and house.writer.calls == 0 and house.audit.events == []


def replace_tenant(house: House, **changes: Any) -> None:
    house.tenants.remove("t-1")
    house.tenants.add(a_tenant(**changes))


def test_a_review_of_an_older_analysis_leaves_the_newer_one_s_observation_alone() -> None:
    newer = a_result(id="r-2", key="k-2", computed_at=NOW + timedelta(days=1))
    house = House(a_result(), newer)
    house.say()

    assert house.work() == "not-wanted"

    assert "newer analysis" in house.write.lost[0] and house.writer.calls == 0


def test_a_review_is_not_written_about_a_study_that_has_moved_to_another_patient() -> None:
    house = House(a_result(patient_id=f"{MOVED}p-1"))
    house.say()

    assert house.work() == "not-wanted"

    assert house.writer.calls == 0


def test_another_model_s_newer_analysis_leaves_a_review_of_this_one_to_be_written() -> None:
    other = a_finding(coding=Coding("http://snomed.info/sct", "60046008", "Pleural effusion"))
    analysis = an_analysis(model=a_model(id="other"), findings=(other,))
    later = NOW + timedelta(days=1)
    house = House(a_result(), a_result(id="r-2", key="k-2", analysis=analysis, computed_at=later))
    house.say()

    assert house.work() == "done"

    assert house.writer.calls == 1


def test_a_result_that_nobody_reviewed_is_not_ours() -> None:
    house = House()

    assert house.work() == "not-mine"


def test_a_writer_that_lost_its_lease_leaves_at_once() -> None:
    house = House()
    house.say()
    settle = house.reviews.writes.settle

    def too_late(*arguments: Any, **outcome: Any) -> bool:
        house.clock.advance(121)
        house.reviews.writes.take("r-1")
        return settle(*arguments, **outcome)

    house.reviews.writes.settle = too_late  # type: ignore[method-assign]

    assert house.work() == "lease-lost"


def test_a_ledger_that_is_away_leaves_the_lease_to_run_out() -> None:
    house = House()
    house.say()

    def away(_: str) -> Result:
        raise LedgerUnavailable("The ledger cannot be used now.")

    house.results.get = away  # type: ignore[method-assign]

    with pytest.raises(SightlineError):
        house.work()
    assert house.write.state is WriteState.WAITING
