"""How long a job will take: an estimate from what was seen, or none."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from cds_service.domain.job import HEARD_FOR, Wait, foresee
from tests.builders import NOW


def foreseen(
    *,
    before: int = 0,
    usual_s: float | None = 4.0,
    held_s: float | None = None,
    rung_s: float | None = 0.0,
    queued_s: float = 0.0,
) -> Wait:
    """Foresee at NOW; `..._s` is how many seconds ago it was."""

    def ago(seconds: float | None) -> object:
        return None if seconds is None else NOW - timedelta(seconds=seconds)

    return foresee(
        before=before,
        usual_s=usual_s,
        now=NOW,
        held_since=ago(held_s),  # type: ignore[arg-type]
        rung_at=ago(rung_s),  # type: ignore[arg-type]
        queued_at=ago(queued_s),  # type: ignore[arg-type]
    )


def test_each_job_before_this_one_adds_the_usual_time() -> None:
    assert foreseen(before=2) == Wait(2, is_held=False, seconds=12)


def test_nothing_is_promised_without_experience() -> None:
    assert foreseen(usual_s=None).seconds is None
    assert foreseen(usual_s=None, held_s=1).seconds is None


def test_nothing_is_promised_when_the_queue_is_away() -> None:
    assert foreseen(rung_s=None).seconds is None


def test_nothing_is_promised_when_a_ring_stays_unanswered() -> None:
    silent = HEARD_FOR.total_seconds()

    assert foreseen(rung_s=silent - 1).seconds == 4
    assert foreseen(rung_s=silent).seconds is None


def test_nothing_is_promised_for_a_job_that_waits_far_longer_than_it_should() -> None:
    assert foreseen(queued_s=38).seconds == 4
    assert foreseen(queued_s=39).seconds is None


def test_a_job_in_work_counts_down_and_is_late_after_twice_the_usual_time() -> None:
    assert [foreseen(held_s=s, rung_s=None).seconds for s in (0, 1.5, 5, 8)] == [4, 3, 1, None]


@given(
    st.integers(0, 500),
    st.floats(0.001, 600),
    st.none() | st.floats(0, 10_000),
    st.none() | st.floats(0, 10_000),
    st.floats(0, 10_000),
)
def test_an_estimate_is_at_least_a_second(
    before: int, usual_s: float, held_s: float | None, rung_s: float | None, queued_s: float
) -> None:
    wait = foreseen(before=before, usual_s=usual_s, held_s=held_s, rung_s=rung_s, queued_s=queued_s)

    assert wait.seconds is None or wait.seconds >= 1
