"""The sweep: every job that nobody works on is rung again."""

from cds_service.usecases.sweep_jobs import sweep_jobs
from tests.builders import a_patient, a_study
from tests.fakes.ledger import FakeClock, FakeDoorbell, FakeJobs


class TiredDoorbell(FakeDoorbell):
    """Goes away after the first ring."""

    def ring(self, job_id: str) -> None:
        super().ring(job_id)
        self.is_silent = True


def two_waiting_jobs() -> tuple[FakeJobs, list[str]]:
    clock = FakeClock()
    jobs = FakeJobs(clock=clock)
    ids = [jobs.open(key, a_study(), a_patient(), "model")[0].id for key in ("key-1", "key-2")]
    clock.advance(30)
    return jobs, ids


def test_jobs_whose_ring_was_lost_are_rung_again() -> None:
    jobs, ids = two_waiting_jobs()
    doorbell = FakeDoorbell()

    assert sweep_jobs(overdue=jobs, doorbell=doorbell) == 2

    assert doorbell.rung == ids


def test_the_next_sweep_finds_nothing_to_do() -> None:
    jobs, _ = two_waiting_jobs()
    sweep_jobs(overdue=jobs, doorbell=FakeDoorbell())

    assert sweep_jobs(overdue=jobs, doorbell=FakeDoorbell()) == 0


def test_a_doorbell_that_goes_away_ends_the_sweep_and_the_next_one_rings_the_rest() -> None:
    jobs, ids = two_waiting_jobs()

    assert sweep_jobs(overdue=jobs, doorbell=TiredDoorbell()) == 1

    later = FakeDoorbell()
    sweep_jobs(overdue=jobs, doorbell=later)
    assert later.rung == ids[1:]


def test_a_silent_doorbell_is_no_error_of_the_sweep() -> None:
    jobs, _ = two_waiting_jobs()

    assert sweep_jobs(overdue=jobs, doorbell=FakeDoorbell(is_silent=True)) == 0
