"""The line of waiting jobs: critical first, EHRs in turn, and nobody waits for ever."""

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from cds_service.domain.line import Priority, Waiting, in_turn
from tests.builders import NOW


def waiting(
    job_id: str, tenant_id: str = "t-1", priority: Priority = Priority.ASKED, since_s: int = 0
) -> Waiting:
    due_at = NOW - timedelta(seconds=since_s) + priority.patience
    return Waiting(job_id, tenant_id, priority, due_at)


def order(*line: Waiting, served: dict[str, int] | None = None) -> list[str]:
    """Return the ids in turn; `served` tells how many seconds ago each tenant was."""
    times = {name: NOW - timedelta(seconds=ago) for name, ago in (served or {}).items()}
    return [one.job_id for one in in_turn(line, times, NOW)]


def test_critical_goes_before_asked_and_asked_before_routine() -> None:
    line = [waiting(name.name, priority=name, since_s=5) for name in reversed(Priority)]

    assert order(*line) == ["CRITICAL", "ASKED", "ROUTINE"]


def test_among_equals_the_one_that_waits_longest_goes_first() -> None:
    assert order(waiting("new", since_s=1), waiting("old", since_s=9)) == ["old", "new"]


def test_a_job_that_lost_its_patience_goes_with_the_critical_ones() -> None:
    late = waiting("late", priority=Priority.ROUTINE, since_s=700)  # since 100 s
    older = waiting("older", priority=Priority.CRITICAL, since_s=101)
    newer = waiting("newer", priority=Priority.CRITICAL, since_s=99)

    assert order(newer, late, older, waiting("asked")) == ["older", "late", "newer", "asked"]


def test_ehrs_take_turns_beginning_with_the_one_that_was_served_longest_ago() -> None:
    flood = [waiting(f"a{n}", "a", since_s=50 - n) for n in range(3)]
    others = [waiting("b0", "b"), waiting("c0", "c")]

    assert order(*flood, *others, served={"a": 1, "b": 9}) == ["c0", "b0", "a0", "a1", "a2"]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(list(Priority)), st.integers(0, 20)),
        max_size=30,
    ),
    st.sampled_from(list(Priority)),
)
def test_no_job_starves_however_many_others_keep_coming(
    others: list[tuple[str, Priority, int]], priority: Priority
) -> None:
    # One worker, one job a second; two EHRs ask for a critical job each second, for ever.
    line = [Waiting("mine", "mine", priority, NOW + priority.patience)]
    line += [waiting(f"o{n}", *one) for n, one in enumerate(others)]
    served = {}
    for second in range(int(priority.patience.total_seconds()) + 10):
        now = NOW + timedelta(seconds=second)
        line += [
            Waiting(f"{tenant}{second}", tenant, Priority.CRITICAL, now) for tenant in ("a", "b")
        ]
        taken = in_turn(line, served, now)[0]
        if taken.job_id == "mine":
            return
        line.remove(taken)
        served[taken.tenant_id] = now
    raise AssertionError("the job was never taken")


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40))
def test_a_routine_job_of_an_ehr_with_critical_ones_is_taken_too(ahead: int) -> None:
    # The same EHR keeps asking for critical ones, faster than they are done.
    line = [Waiting("mine", "t", Priority.ROUTINE, NOW + Priority.ROUTINE.patience)]
    for n in range(ahead):
        line.append(Waiting(f"c{n}", "t", Priority.CRITICAL, NOW + timedelta(seconds=n)))
    for second in range(700, 700 + 2 * ahead):
        now = NOW + timedelta(seconds=second)
        line += [Waiting(f"n{second}-{n}", "t", Priority.CRITICAL, now) for n in range(2)]
        taken = in_turn(line, {}, now)[0]
        if taken.job_id == "mine":
            return
        line.remove(taken)
    raise AssertionError("the job was never taken")
