"""A job from the ledger to the record: in order, once, to its end whatever breaks on the way."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest

from cds_service.domain.audit import AuditAction
from cds_service.domain.finding import AnalysisStatus
from cds_service.domain.job import JobState, JobStep, Lease
from cds_service.domain.publication import PublicationState
from cds_service.domain.study import StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    ArchiveFailed,
    EhrRefused,
    LeaseLost,
    SightlineError,
    WeightsDigestMismatch,
)
from cds_service.usecases.ports import Budget, Classification, Pixels
from cds_service.usecases.run_inference import Workbench, run_inference
from tests.builders import a_patient, a_study, a_tenant
from tests.fakes.imaging import STUDY_UID, FakeArchive, FakeClassifier, FakeReader, a_header
from tests.fakes.ledger import (
    FakeAuditLog,
    FakeClock,
    FakeJobs,
    FakePublications,
    FakeResults,
    FakeTenants,
)
from tests.fakes.record import FakeEhrWriter

LEASE_S, ATTEMPTS = 20, 3
PORTS = (
    *("tenants", "leases", "results", "publications"),
    *("archive", "reader", "classifier", "writer", "audit"),
)


@dataclass
class CountingClassifier(FakeClassifier):
    """Counts how often the model runs."""

    runs: int = 0

    def classify(self, pixels: Pixels) -> Classification:
        self.runs += 1
        return super().classify(pixels)


@dataclass
class NotingLeases:
    """Leases that remember the steps."""

    jobs: FakeJobs
    steps: list[JobStep] = field(default_factory=list)

    def take(self, job_id: str, owner: str) -> Lease | None:
        return self.jobs.take(job_id, owner)

    def advance(self, lease: Lease, step: JobStep) -> Lease:
        self.steps.append(step)
        return self.jobs.advance(lease, step)

    def finish(self, lease: Lease, result_id: str) -> None:
        self.jobs.finish(lease, result_id)

    def give_up(self, lease: Lease, error: str, *, retry: bool) -> None:
        self.jobs.give_up(lease, error, retry=retry)


class House:
    """A worker with one open job about a study of one image."""

    def __init__(self, probability: float = 0.93, **header: Any) -> None:
        self.clock = FakeClock()
        self.jobs = FakeJobs(lease_s=LEASE_S, attempts=ATTEMPTS, clock=self.clock)
        self.leases = NotingLeases(self.jobs)
        self.results = FakeResults(self.jobs)
        self.publications = FakePublications(self.jobs)
        self.writer = FakeEhrWriter()
        self.audit = FakeAuditLog()
        self.classifier = CountingClassifier()
        reader = FakeReader()
        image = reader.holding(b"image", probability, a_header(**header))
        ids = (f"r-{number}" for number in range(100))
        self.bench = Workbench(
            tenants=FakeTenants(a_tenant()),
            leases=self.leases,
            results=self.results,
            publications=self.publications,
            archive=FakeArchive({STUDY_UID: [image]}),
            reader=reader,
            classifier=self.classifier,
            writer=self.writer,
            audit=self.audit,
            clock=self.clock,
            new_id=lambda: next(ids),
            configuration="configuration",
            attempts=ATTEMPTS,
            budget=Budget(),
        )
        self.job_id = self.opened("key-1")

    def opened(self, dispatch_key: str) -> str:
        job, _ = self.jobs.open(dispatch_key, a_study(), a_patient(), "cxr_pneumonia_peds")
        return job.id

    def with_(self, **ports: Any) -> None:
        self.bench = replace(self.bench, **ports)

    def run(self, job_id: str | None = None, owner: str = "worker-1") -> str:
        return run_inference(job_id or self.job_id, owner, self.bench)

    @property
    def state(self) -> JobState:
        return self.jobs.get(self.job_id).state

    @property
    def observations(self) -> list[Any]:
        return [one for name, one in self.writer.stored.items() if name.startswith("Observation")]

    def audited(self, action: AuditAction) -> int:
        return sum(event.action is action for event in self.audit.events)


# --- the whole way ----------------------------------------------------------------------------


def test_a_job_goes_from_the_archive_to_the_record() -> None:
    house = House()

    assert house.run() == "done"

    [result] = house.results.all
    publication = house.publications.of(result.id)
    assert result.analysis.findings[0].present is True
    assert publication is not None and publication.state is PublicationState.DONE
    assert len(house.observations) == 1
    job = house.jobs.get(house.job_id)
    assert (job.state, job.step, job.result_id) == (JobState.DONE, JobStep.DONE, result.id)
    assert house.audited(AuditAction.RESULT_PUBLISHED) == 1


def test_the_steps_are_noted_in_order() -> None:
    house = House()

    house.run()

    assert house.leases.steps == [
        JobStep.FETCHING,
        JobStep.READING,
        JobStep.INFERRING,
        JobStep.PUBLISHING,
    ]


def test_a_job_that_another_worker_has_is_left_at_once() -> None:
    house = House()
    house.jobs.take(house.job_id, "worker-2")

    assert house.run() == "not-mine"
    assert house.classifier.runs == 0 and house.audit.events == []


def test_a_job_that_is_done_is_left_at_once() -> None:
    house = House()
    house.run()

    assert house.run() == "not-mine"
    assert house.classifier.runs == 1


def test_the_same_images_are_not_run_twice() -> None:
    house = House()
    house.run()

    assert house.run(house.opened("key-2")) == "done"

    assert house.classifier.runs == 1
    assert len(house.results.all) == 1 and house.writer.calls == 1


# --- crashes ----------------------------------------------------------------------------------


class Crash(BaseException):
    """The process is gone: nothing of ours catches this."""


class Tripwire:
    """Stands before every port and crashes at one call, before it is made or after."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.calls = 0
        self._at, self._after = at, after

    def before(self, port: object) -> "Wired":
        return Wired(port, self)

    def made(self, call: Callable[[], Any]) -> Any:
        self.calls += 1
        if self.calls == self._at and not self._after:
            raise Crash
        answer = call()
        if self.calls == self._at:
            raise Crash
        return answer


class Wired:
    """One port behind the tripwire."""

    def __init__(self, port: object, wire: Tripwire) -> None:
        self._port, self._wire = port, wire

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._port, name)
        if not callable(value):
            return value
        return lambda *args, **kwargs: self._wire.made(lambda: value(*args, **kwargs))


def run_with(house: House, wire: Tripwire) -> None:
    bench = house.bench
    house.with_(**{name: wire.before(getattr(bench, name)) for name in PORTS})
    try:
        house.run(owner="worker-that-dies")
    finally:
        house.bench = bench


def calls_of_a_whole_run() -> int:
    wire = Tripwire(0, after=False)
    run_with(House(), wire)
    return wire.calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(1, calls_of_a_whole_run() + 1))
def test_a_crash_at_any_call_is_resumed_and_leaves_one_of_each(at: int, after: bool) -> None:
    house = House()
    with pytest.raises(Crash):
        run_with(house, Tripwire(at, after=after))
    house.clock.advance(LEASE_S + 1)

    house.run(owner="worker-2")

    [result] = house.results.all
    publication = house.publications.of(result.id)
    assert house.state is JobState.DONE
    assert publication is not None and publication.state is PublicationState.DONE
    assert len(house.observations) == 1


def test_a_stored_result_is_not_computed_again_after_a_crash() -> None:
    house = House()
    house.with_(writer=FakeEhrWriter(error=cast(Exception, Crash())))
    with pytest.raises(Crash):
        house.run()
    house.clock.advance(LEASE_S + 1)
    house.with_(writer=house.writer)

    assert house.run(owner="worker-2") == "done"

    assert house.classifier.runs == 1 and len(house.observations) == 1


def test_a_worker_that_lost_its_lease_stores_and_writes_nothing() -> None:
    house = House()
    slow = FakeArchive({STUDY_UID: [b"image"]})

    class SlowArchive:
        def instances(
            self, tenant: Tenant, study: StudyReference, budget: Budget
        ) -> Iterator[bytes]:
            house.clock.advance(LEASE_S + 1)
            house.jobs.take(house.job_id, "worker-2")
            return slow.instances(tenant, study, budget)

        def instance(self, *_: Any) -> bytes:
            raise NotImplementedError

    house.with_(archive=SlowArchive())

    assert house.run() == "lease-lost"
    assert house.results.all == [] and house.writer.calls == 0
    assert house.state is JobState.OPEN


def test_a_lease_lost_while_giving_up_is_told_as_such() -> None:
    house = House()

    class GoneLeases(NotingLeases):
        def give_up(self, lease: Lease, error: str, *, retry: bool) -> None:
            raise LeaseLost("Another worker holds it.")

    house.with_(leases=GoneLeases(house.jobs), archive=FakeArchive(fails_with=archive_failure()))

    assert house.run() == "lease-lost"


# --- what cannot be analysed, and what breaks -------------------------------------------------


def archive_failure() -> SightlineError:
    return ArchiveFailed("The archive did not answer.")


def test_a_study_that_has_not_arrived_is_tried_again_and_then_not_analysed() -> None:
    house = House()
    house.with_(archive=FakeArchive({}))

    codes = [house.run() for _ in range(ATTEMPTS)]

    assert codes == ["StudyIncomplete", "StudyIncomplete", "done"]
    [result] = house.results.all
    assert result.analysis.status is AnalysisStatus.NOT_ANALYSED
    assert result.analysis.reason is not None and result.analysis.reason.code == "not-in-archive"
    assert house.state is JobState.DONE and house.writer.calls == 0


def test_a_study_that_arrives_between_two_attempts_is_analysed() -> None:
    house = House()
    archive = house.bench.archive
    house.with_(archive=FakeArchive({}))
    house.run()
    house.with_(archive=archive)

    assert house.run() == "done"
    assert house.results.all[0].analysis.status is AnalysisStatus.ANALYSED


def test_images_of_another_patient_are_audited_and_never_published() -> None:
    house = House(patient_id="MRN-OF-SOMEBODY-ELSE")

    assert house.run() == "done"

    [result] = house.results.all
    assert result.analysis.reason is not None
    assert result.analysis.reason.code == "patient-mismatch"
    assert house.audited(AuditAction.PATIENT_MISMATCH) == 1
    assert house.audited(AuditAction.RESULT_PUBLISHED) == 0
    assert house.writer.calls == 0 and house.classifier.runs == 0


def test_an_archive_that_keeps_failing_fails_the_job_after_the_last_attempt() -> None:
    house = House()
    house.with_(archive=FakeArchive(fails_with=archive_failure()))

    states = [(house.run(), house.state) for _ in range(ATTEMPTS)]

    assert [code for code, _ in states] == ["ArchiveFailed"] * ATTEMPTS
    assert [state for _, state in states] == [JobState.OPEN, JobState.OPEN, JobState.FAILED]
    assert house.results.all == []
    assert house.audited(AuditAction.STUDY_FETCHED) == ATTEMPTS


def test_an_ehr_that_is_busy_leaves_the_job_open_and_the_result_kept() -> None:
    house = House()
    house.writer = FakeEhrWriter(fails_first=1)
    house.with_(writer=house.writer)

    assert house.run() == "EhrTimedOut"
    assert house.state is JobState.OPEN and len(house.results.all) == 1

    assert house.run() == "done"
    assert house.classifier.runs == 1 and len(house.observations) == 1


def test_an_ehr_that_refuses_ends_the_job_with_the_result_on_the_card_only() -> None:
    house = House()
    house.with_(writer=FakeEhrWriter(error=EhrRefused("The EHR answered 403 to a write.")))

    assert house.run() == "done"

    publication = house.publications.of(house.results.all[0].id)
    assert publication is not None and publication.state is PublicationState.FAILED


def test_weights_that_are_not_the_pinned_ones_stop_the_worker() -> None:
    house = House()
    house.classifier.fails_with = WeightsDigestMismatch("The weights are not the pinned ones.")

    with pytest.raises(WeightsDigestMismatch):
        house.run()

    assert house.results.all == [] and house.state is JobState.FAILED
    assert house.jobs.get(house.job_id).error == "WeightsDigestMismatch"
