"""Dispatch: one job however many hooks ask, and a ring that may fail."""

from typing import Any

import pytest

from cds_service.domain.job import Job, JobState
from cds_service.usecases.dispatch_inference import dispatch_inference
from tests.builders import a_model, a_patient, a_study
from tests.fakes.ledger import FakeDoorbell, FakeJobs


@pytest.fixture
def jobs() -> FakeJobs:
    return FakeJobs()


@pytest.fixture
def doorbell() -> FakeDoorbell:
    return FakeDoorbell()


def dispatch(jobs: FakeJobs, doorbell: FakeDoorbell, **changes: Any) -> Job:
    study = changes.pop("study", a_study())
    values: dict[str, Any] = {"model": a_model()} | changes
    return dispatch_inference(study, a_patient(), jobs=jobs, doorbell=doorbell, **values)


def test_two_hooks_for_one_study_make_one_job_and_ring_once(
    jobs: FakeJobs, doorbell: FakeDoorbell
) -> None:
    first = dispatch(jobs, doorbell)
    second = dispatch(jobs, doorbell)

    assert first == second and jobs.all == [first]
    assert doorbell.rung == [first.id]


@pytest.mark.parametrize(
    "changes",
    [
        {"study": a_study(instance_count=2)},
        {"study": a_study(series_count=2)},
        {"study": a_study(tenant_id="t-2")},
        {"study": a_study(study_uid="1.2.3")},
        {"model": a_model(digest="sha256:" + "1" * 64)},
        {"model": a_model(version="0.1.1")},
    ],
    ids=["an instance more", "a series more", "tenant", "study", "weights", "card"],
)
def test_anything_that_changes_the_result_is_another_job(
    jobs: FakeJobs, doorbell: FakeDoorbell, changes: dict[str, Any]
) -> None:
    first = dispatch(jobs, doorbell)

    second = dispatch(jobs, doorbell, **changes)

    assert first.id != second.id and doorbell.rung == [first.id, second.id]


def test_a_new_title_of_the_same_card_is_the_same_job(
    jobs: FakeJobs, doorbell: FakeDoorbell
) -> None:
    first = dispatch(jobs, doorbell)

    assert dispatch(jobs, doorbell, model=a_model(title="New")) == first


def test_a_silent_doorbell_leaves_the_job_to_the_next_sweep(jobs: FakeJobs) -> None:
    job = dispatch(jobs, FakeDoorbell(is_silent=True))

    assert jobs.get(job.id).state is JobState.OPEN
    assert jobs.reclaim() == [job.id]


def test_a_failed_job_is_opened_again_and_rung(jobs: FakeJobs, doorbell: FakeDoorbell) -> None:
    job = dispatch(jobs, doorbell)
    lease = jobs.take(job.id, "worker-1")
    assert lease is not None
    jobs.give_up(lease, "ArchiveRefused", retry=False)

    again = dispatch(jobs, doorbell)

    assert (again.id, again.state) == (job.id, JobState.OPEN)
    assert doorbell.rung == [job.id, job.id]
