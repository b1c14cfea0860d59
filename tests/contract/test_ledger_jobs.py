"""Jobs, leases and the sweep: the same on the fake, SQLite and PostgreSQL."""

from datetime import timedelta

import pytest

from cds_service.domain.job import Job, JobState, JobStep, Lease, Wait
from cds_service.domain.line import Backlog, Priority
from cds_service.domain.publication import Publication, PublicationState
from cds_service.errors import LeaseLost, NotFound
from tests.builders import a_patient, a_result, a_study
from tests.contract.ledgers import ATTEMPTS, LEASE_S, Ledger


def open_job(ledger: Ledger, key: str = "key-1", **study: object) -> Job:
    return ledger.jobs.open(key, a_study(**study), a_patient(), "model")[0]


def held(ledger: Ledger, key: str = "key-1", owner: str = "worker-1") -> Lease:
    lease = ledger.jobs.take(open_job(ledger, key).id, owner)
    assert lease is not None
    return lease


# --- opening ---


def test_a_new_job_is_open_queued_and_keeps_its_study(ledger: Ledger) -> None:
    job, made = ledger.jobs.open("key-1", a_study(), a_patient(), "model")

    assert made
    assert (job.state, job.step, job.attempts) == (JobState.OPEN, JobStep.QUEUED, 0)
    assert (job.study, job.model_id, job.dispatch_key) == (a_study(), "model", "key-1")
    assert job.created_at == ledger.clock.now
    assert ledger.jobs.get(job.id) == job


def test_the_same_key_is_the_same_job(ledger: Ledger) -> None:
    first = open_job(ledger)

    again, made = ledger.jobs.open("key-1", a_study(), a_patient(), "model")

    assert again == first and not made


def test_an_unknown_job_is_not_found(ledger: Ledger) -> None:
    with pytest.raises(NotFound):
        ledger.jobs.get("nobody")


def test_a_failed_job_is_opened_again_with_fresh_attempts_and_facts(ledger: Ledger) -> None:
    lease = held(ledger)
    ledger.jobs.give_up(lease, "ArchiveRefused", retry=False)
    partly = {"issuers": ("1.2.3",), "birth_date": None, "born_in": "2022-06"}
    facts = a_patient(identifiers=("MRN-2",), names=("Meier Anna",), **partly)

    job, made = ledger.jobs.open("key-1", a_study(description="Thorax"), facts, "model")
    taken = ledger.jobs.take(job.id, "worker-2")

    assert made and job.id == lease.job.id
    assert (job.state, job.attempts, job.error) == (JobState.OPEN, 0, None)
    assert job.study.description == "Thorax"
    assert taken is not None and taken.patient == facts
    assert taken.token > lease.token


def test_a_done_job_is_returned_as_it_is(ledger: Ledger) -> None:
    lease = held(ledger)
    ledger.jobs.finish(lease, ledger.results.save(a_result(), lease).id)

    job, made = ledger.jobs.open("key-1", a_study(), a_patient(), "model")

    assert not made and job.state is JobState.DONE


def test_a_done_job_is_opened_again_as_the_newest_where_its_result_does_not_stand(
    ledger: Ledger,
) -> None:
    lease = held(ledger)
    ledger.jobs.finish(lease, ledger.results.save(a_result(), lease).id)
    ledger.clock.advance(1)
    ledger.jobs.open("key-2", a_study(), a_patient(), "another model")
    ledger.clock.advance(1)

    job, made = ledger.jobs.open("key-1", a_study(), a_patient(), "model", again=True)

    assert made and job.id == lease.job.id
    assert (job.state, job.step, job.result_id) == (JobState.OPEN, JobStep.QUEUED, None)
    newest = ledger.jobs.newest_for("t-1", "p-1", [a_study().study_uid])
    assert newest[a_study().study_uid].id == job.id
    taken = ledger.jobs.take(job.id, "worker-2")
    assert taken is not None and taken.patient == a_patient()


# --- reading ---


def test_the_newest_job_of_each_study_is_returned(ledger: Ledger) -> None:
    open_job(ledger, "old", study_uid="1.2.1")
    ledger.clock.advance(1)
    newest = open_job(ledger, "new", study_uid="1.2.1")
    other = open_job(ledger, "other", study_uid="1.2.2")
    open_job(ledger, "not asked", study_uid="1.2.3")

    found = ledger.jobs.newest_for("t-1", "p-1", ["1.2.1", "1.2.2", "1.2.9"])

    assert found == {"1.2.1": newest, "1.2.2": other}


def test_the_newest_job_of_each_model_is_returned(ledger: Ledger) -> None:
    study = a_study(study_uid="1.2.1")
    for name, model in (("1", "a"), ("2", "b"), ("3", "a")):
        ledger.jobs.open(f"key-{name}", study, a_patient(), model)
        ledger.clock.advance(1)

    found = ledger.jobs.of_models("t-1", "p-1", ["1.2.1", "1.2.9"])

    assert {job.model_id: job.dispatch_key for job in found} == {"a": "key-3", "b": "key-2"}
    assert ledger.jobs.of_models("t-1", "p-2", ["1.2.1"]) == []


def test_a_patient_s_jobs_are_being_analysed_until_there_is_a_result(ledger: Ledger) -> None:
    queued = open_job(ledger, "queued", study_uid="1.2.1")
    running = held(ledger, "running")
    written = held(ledger, "written")
    ledger.jobs.advance(written, JobStep.PUBLISHING)
    lost = held(ledger, "lost")
    ledger.jobs.give_up(lost, "ArchiveRefused", retry=False)

    found = ledger.jobs.analysing("t-1", "p-1")

    assert {job.id for job in found} == {queued.id, running.job.id}


def test_jobs_of_another_tenant_or_patient_are_not_returned(ledger: Ledger) -> None:
    open_job(ledger)
    uid = a_study().study_uid

    assert ledger.jobs.analysing("t-2", "p-1") == ledger.jobs.analysing("t-1", "p-2") == []

    assert ledger.jobs.newest_for("t-2", "p-1", [uid]) == {}
    assert ledger.jobs.newest_for("t-1", "p-2", [uid]) == {}
    assert ledger.jobs.newest_for("t-1", "p-1", []) == {}


def test_the_wait_is_the_median_duration_times_the_place_in_the_line(ledger: Ledger) -> None:
    for number, seconds in enumerate((2, 4, 12)):
        lease = held(ledger, f"done-{number}")
        ledger.clock.advance(seconds)
        ledger.jobs.finish(lease, ledger.results.save(a_result(), lease).id)
    first = open_job(ledger, "first")
    ledger.clock.advance(1)
    second = open_job(ledger, "second")

    assert ledger.jobs.wait_for(first) == Wait(0, is_held=False, seconds=4)
    assert ledger.jobs.wait_for(second) == Wait(1, is_held=False, seconds=8)


def test_no_time_is_promised_before_any_job_is_done(ledger: Ledger) -> None:
    job = open_job(ledger)

    assert ledger.jobs.wait_for(job) == Wait(0, is_held=False, seconds=None)

    lease = held(ledger)
    ledger.jobs.finish(lease, ledger.results.save(a_result(), lease).id)

    assert ledger.jobs.wait_for(open_job(ledger, "key-2")).seconds == 1


def test_no_time_is_promised_for_a_job_that_no_worker_could_be_told_of(ledger: Ledger) -> None:
    lease = held(ledger, "done")
    ledger.clock.advance(4)
    ledger.jobs.finish(lease, ledger.results.save(a_result(), lease).id)
    told, untold = open_job(ledger, "told"), open_job(ledger, "untold")
    ledger.jobs.unrung([untold.id])

    assert ledger.jobs.wait_for(told).seconds == 4
    assert ledger.jobs.wait_for(untold).seconds is None


def test_the_wait_of_a_job_in_work_gets_shorter_until_it_is_late(ledger: Ledger) -> None:
    lease = held(ledger, "done")
    ledger.clock.advance(4)
    ledger.jobs.finish(lease, ledger.results.save(a_result(), lease).id)
    job = held(ledger, "in work").job

    waits = []
    for _ in range(4):
        waits.append(ledger.jobs.wait_for(job))
        ledger.clock.advance(3)

    assert [wait.seconds for wait in waits] == [4, 1, 1, None]
    assert all(wait.is_held for wait in waits)


def test_a_write_back_that_waits_for_its_ehr_is_not_before_anybody(ledger: Ledger) -> None:
    lease = ledger.jobs.advance(held(ledger, "publishing"), JobStep.PUBLISHING)
    ledger.jobs.give_up(lease, "EhrTimedOut", retry=True)
    ledger.clock.advance(1)

    assert ledger.jobs.wait_for(open_job(ledger, "next")).before == 0


# --- leases ---


def test_a_lease_carries_the_token_the_owner_and_the_patients_facts(ledger: Ledger) -> None:
    lease = held(ledger)

    assert (lease.token, lease.owner, lease.job.attempts) == (1, "worker-1", 1)
    assert lease.expires_at == ledger.clock.now + timedelta(seconds=LEASE_S)
    assert lease.patient == a_patient()


def test_a_leased_job_is_not_leased_again(ledger: Ledger) -> None:
    lease = held(ledger)

    assert ledger.jobs.take(lease.job.id, "worker-2") is None
    ledger.clock.advance(LEASE_S - 0.001)
    assert ledger.jobs.take(lease.job.id, "worker-2") is None


def test_an_expired_lease_passes_to_the_next_worker_with_a_higher_token(ledger: Ledger) -> None:
    first = held(ledger)
    ledger.clock.advance(LEASE_S)

    second = ledger.jobs.take(first.job.id, "worker-2")

    assert second is not None
    assert (second.token, second.owner) == (first.token + 1, "worker-2")


def test_advance_renews_the_lease_and_shows_the_step(ledger: Ledger) -> None:
    lease = held(ledger)
    ledger.clock.advance(LEASE_S - 1)

    renewed = ledger.jobs.advance(lease, JobStep.INFERRING)
    ledger.clock.advance(LEASE_S - 1)

    assert (renewed.token, renewed.job.step) == (lease.token, JobStep.INFERRING)
    assert renewed.patient == a_patient()
    assert ledger.jobs.take(lease.job.id, "worker-2") is None
    assert ledger.jobs.get(lease.job.id).step is JobStep.INFERRING


def test_a_late_heartbeat_keeps_the_job_when_nobody_noticed(ledger: Ledger) -> None:
    lease = held(ledger)
    ledger.clock.advance(LEASE_S + 5)

    ledger.jobs.advance(lease, JobStep.READING)

    assert ledger.jobs.reclaim() == []


def test_finish_marks_the_job_done_and_forgets_the_facts(ledger: Ledger) -> None:
    lease = held(ledger)

    ledger.jobs.finish(lease, ledger.results.save(a_result(), lease).id)

    job = ledger.jobs.get(lease.job.id)
    assert (job.state, job.step, job.result_id) == (JobState.DONE, JobStep.DONE, "r-1")
    assert ledger.jobs.take(job.id, "worker-2") is None


def test_giving_up_with_a_retry_frees_the_job_until_the_attempts_are_used(ledger: Ledger) -> None:
    job = open_job(ledger)
    for attempt in range(1, ATTEMPTS + 1):
        assert ledger.jobs.get(job.id).state is JobState.OPEN
        lease = ledger.jobs.take(job.id, "worker-1")
        assert lease is not None and lease.job.attempts == attempt
        ledger.jobs.give_up(lease, "ArchiveFailed", retry=True)

    job = ledger.jobs.get(job.id)
    assert (job.state, job.error) == (JobState.FAILED, "ArchiveFailed")
    assert ledger.jobs.take(job.id, "worker-1") is None


def test_a_write_back_that_waits_for_the_ehr_uses_up_no_attempt_and_keeps_its_step(
    ledger: Ledger,
) -> None:
    job = open_job(ledger)
    for _ in range(ATTEMPTS + 1):
        lease = ledger.jobs.take(job.id, "worker-1")
        assert lease is not None
        lease = ledger.jobs.advance(lease, JobStep.PUBLISHING)
        ledger.jobs.give_up(lease, "EhrTimedOut", retry=True)

    job = ledger.jobs.get(job.id)
    assert (job.state, job.step) == (JobState.OPEN, JobStep.PUBLISHING)
    assert not job.is_analysing and ledger.jobs.reclaim() == []


def test_giving_up_without_a_retry_fails_the_job(ledger: Ledger) -> None:
    lease = held(ledger)

    ledger.jobs.give_up(lease, "WeightsDigestMismatch", retry=False)

    job = ledger.jobs.get(lease.job.id)
    assert (job.state, job.error) == (JobState.FAILED, "WeightsDigestMismatch")


@pytest.mark.parametrize("effect", ["advance", "finish", "give_up", "save", "record"])
def test_a_worker_with_an_old_token_changes_nothing(ledger: Ledger, effect: str) -> None:
    old = held(ledger)
    ledger.clock.advance(LEASE_S)
    new = ledger.jobs.take(old.job.id, "worker-2")
    assert new is not None
    ledger.results.save(a_result(), new)
    before = ledger.jobs.get(old.job.id)

    with pytest.raises(LeaseLost):
        apply(effect, ledger, old)

    assert ledger.jobs.get(old.job.id) == before
    assert ledger.publications.of("r-1") is None
    assert ledger.results.of_models("t-1", "p-1", ["1.2.840.99999.1"]) == [a_result()]


@pytest.mark.parametrize("effect", ["advance", "finish", "give_up", "save", "record"])
def test_a_worker_whose_lease_was_reclaimed_changes_nothing(ledger: Ledger, effect: str) -> None:
    lease = held(ledger)
    ledger.results.save(a_result(), lease)
    ledger.clock.advance(LEASE_S)
    assert ledger.jobs.reclaim() == [lease.job.id]

    with pytest.raises(LeaseLost):
        apply(effect, ledger, lease)


def apply(effect: str, ledger: Ledger, lease: Lease) -> None:
    match effect:
        case "advance":
            ledger.jobs.advance(lease, JobStep.PUBLISHING)
        case "finish":
            ledger.jobs.finish(lease, "r-1")
        case "give_up":
            ledger.jobs.give_up(lease, "ArchiveFailed", retry=True)
        case "save":
            ledger.results.save(a_result(id="r-2", key="k-2"), lease)
        case "record":
            ledger.publications.record(Publication("r-1", PublicationState.DONE), lease)


# --- the sweep ---


def test_a_job_that_was_just_rung_is_not_rung_again(ledger: Ledger) -> None:
    open_job(ledger)

    ledger.clock.advance(29)

    assert ledger.jobs.reclaim() == []


def test_a_job_that_nobody_took_is_rung_again_once_in_thirty_seconds(ledger: Ledger) -> None:
    job = open_job(ledger)
    ledger.clock.advance(30)

    assert ledger.jobs.reclaim() == [job.id]
    assert ledger.jobs.reclaim() == []
    ledger.clock.advance(30)
    assert ledger.jobs.reclaim() == [job.id]


def test_a_job_whose_ring_was_not_heard_is_rung_at_the_next_sweep(ledger: Ledger) -> None:
    job, other = open_job(ledger), open_job(ledger, "key-2")

    ledger.jobs.unrung([job.id])

    assert ledger.jobs.reclaim() == [job.id]
    assert ledger.jobs.reclaim() == []
    assert ledger.jobs.get(other.id).state is JobState.OPEN


def test_a_held_job_is_left_alone(ledger: Ledger) -> None:
    lease = held(ledger)
    for _ in range(4):
        ledger.clock.advance(LEASE_S - 1)
        lease = ledger.jobs.advance(lease, JobStep.INFERRING)

    assert ledger.jobs.reclaim() == []


def test_an_expired_lease_is_rung_at_the_next_sweep(ledger: Ledger) -> None:
    lease = held(ledger)
    ledger.clock.advance(LEASE_S)

    assert ledger.jobs.reclaim() == [lease.job.id]

    job = ledger.jobs.get(lease.job.id)
    assert (job.state, job.step, job.error) == (JobState.OPEN, JobStep.QUEUED, "WorkerCrashed")


def test_a_job_given_back_is_rung_at_the_next_sweep(ledger: Ledger) -> None:
    lease = held(ledger)
    ledger.jobs.give_up(lease, "ArchiveFailed", retry=True)

    assert ledger.jobs.reclaim() == [lease.job.id]


def test_oldest_jobs_are_rung_first(ledger: Ledger) -> None:
    ids = []
    for number in range(3):
        ids.append(open_job(ledger, f"key-{number}").id)
        ledger.clock.advance(1)
    ledger.clock.advance(30)

    assert ledger.jobs.reclaim() == ids


@pytest.mark.parametrize("noticed_by", ["sweep", "worker"])
def test_a_job_that_killed_its_worker_twice_is_quarantined(ledger: Ledger, noticed_by: str) -> None:
    first = held(ledger)
    ledger.clock.advance(LEASE_S)
    second = ledger.jobs.take(first.job.id, "worker-2")
    assert second is not None
    ledger.clock.advance(LEASE_S)

    if noticed_by == "sweep":
        assert ledger.jobs.reclaim() == []
    else:
        assert ledger.jobs.take(first.job.id, "worker-3") is None

    job = ledger.jobs.get(first.job.id)
    assert (job.state, job.error) == (JobState.QUARANTINED, "WorkerCrashed")
    with pytest.raises(LeaseLost):
        ledger.jobs.advance(second, JobStep.READING)


def quarantined(ledger: Ledger) -> Job:
    job = open_job(ledger)
    for owner in ("worker-1", "worker-2"):
        ledger.jobs.take(job.id, owner)
        ledger.clock.advance(LEASE_S)
    ledger.jobs.reclaim()
    return ledger.jobs.get(job.id)


def test_lost_jobs_are_listed_newest_first_and_open_and_done_ones_are_not(ledger: Ledger) -> None:
    killer = quarantined(ledger)
    ledger.clock.advance(1)
    failed = held(ledger, "failed")
    ledger.jobs.give_up(failed, "ArchiveRefused", retry=False)
    open_job(ledger, "open")
    done = held(ledger, "done")
    ledger.jobs.finish(done, ledger.results.save(a_result(), done).id)

    assert [job.id for job in ledger.lost_jobs.lost()] == [failed.job.id, killer.id]


def test_a_released_job_is_opened_again_and_quarantined_at_its_next_crash(ledger: Ledger) -> None:
    job = quarantined(ledger)

    assert ledger.lost_jobs.release(job.id)
    again, made = ledger.jobs.open("key-1", a_study(), a_patient(), "model")

    assert made and (again.id, again.state, again.attempts) == (job.id, JobState.OPEN, 0)
    ledger.jobs.take(job.id, "worker-3")
    ledger.clock.advance(LEASE_S)
    ledger.jobs.reclaim()
    assert ledger.jobs.get(job.id).state is JobState.QUARANTINED


def test_only_a_lost_job_is_released(ledger: Ledger) -> None:
    job = open_job(ledger)

    assert not ledger.lost_jobs.release(job.id)
    assert not ledger.lost_jobs.release("nobody")
    assert ledger.jobs.get(job.id) == job


def test_a_quarantined_job_is_not_opened_again_by_a_hook(ledger: Ledger) -> None:
    job = open_job(ledger)
    for owner in ("worker-1", "worker-2"):
        ledger.jobs.take(job.id, owner)
        ledger.clock.advance(LEASE_S)
    ledger.jobs.reclaim()

    again, made = ledger.jobs.open("key-1", a_study(), a_patient(), "model")

    assert not made and again.state is JobState.QUARANTINED


def test_waiting_jobs_are_counted_by_ehr_and_priority_with_the_oldest(ledger: Ledger) -> None:
    for key, tenant_id, priority in (
        ("a1", "a", Priority.ASKED),
        ("a2", "a", Priority.ASKED),
        ("b1", "b", Priority.ROUTINE),
        ("b2", "b", Priority.CRITICAL),
    ):
        study = a_study(tenant_id=tenant_id)
        ledger.jobs.open(key, study, a_patient(), "model", priority=priority)
        ledger.clock.advance(60)

    assert ledger.waiting_jobs.waiting() == [
        Backlog("b", Priority.CRITICAL, 1, timedelta(minutes=1)),
        Backlog("a", Priority.ASKED, 2, timedelta(minutes=4)),
        Backlog("b", Priority.ROUTINE, 1, timedelta(minutes=2)),
    ]
    assert ledger.waiting_jobs.oldest_wait() == timedelta(minutes=4)


def test_a_job_that_is_held_or_over_does_not_wait(ledger: Ledger) -> None:
    done, failed = held(ledger, "done"), held(ledger, "failed")
    ledger.jobs.finish(done, ledger.results.save(a_result(), done).id)
    ledger.jobs.give_up(failed, "ArchiveRefused", retry=False)
    held(ledger, "held")

    assert ledger.waiting_jobs.waiting() == []
    assert ledger.waiting_jobs.oldest_wait() is None


def test_a_job_whose_worker_died_waits_though_nobody_sweeps(ledger: Ledger) -> None:
    held(ledger)
    ledger.clock.advance(3600)

    [backlog] = ledger.waiting_jobs.waiting()

    assert (backlog.jobs, backlog.oldest) == (1, timedelta(hours=1))
    assert ledger.waiting_jobs.oldest_wait() == timedelta(hours=1)


def test_a_job_that_was_sent_back_waits_anew(ledger: Ledger) -> None:
    lease = held(ledger)
    ledger.clock.advance(LEASE_S - 1)
    ledger.jobs.give_up(lease, "ArchiveFailed", retry=True)
    ledger.clock.advance(5)

    assert ledger.waiting_jobs.oldest_wait() == timedelta(seconds=5)
