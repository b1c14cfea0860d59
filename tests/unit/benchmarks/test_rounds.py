"""What the benchmark makes of the answers: its percentiles, counts and verdicts."""

import math
from collections.abc import Sequence

import pytest

from benchmarks.figures import MeasurementFailed, percentile
from benchmarks.paced_requests import Answer
from benchmarks.rounds import Round, counted, slowest_at


def an_answer(
    since_due_ms: float = 8.0, code: str = "200", cards: tuple[str, ...] = ("warning",)
) -> Answer:
    return Answer(since_due_ms, since_due_ms, code, cards)


def a_round(answers: Sequence[Answer], *, is_known: bool = True, ehr_ms: int = 0) -> Round:
    name = "known" if is_known else "unknown"
    return Round("Sightline", ehr_ms, "up", name, is_known, answers)


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 201)]

    assert percentile(values, 0.5) == 100.0
    assert percentile(values, 0.99) == 198.0
    assert percentile(values, 1.0) == 200.0


def test_nothing_measured_has_no_percentile() -> None:
    with pytest.raises(MeasurementFailed):
        percentile([], 0.5)


def test_a_known_result_without_a_card_counts_as_endless() -> None:
    answers = [an_answer() for _ in range(98)]
    answers += [an_answer(1.0, code="503", cards=()), an_answer(1.0, cards=())]

    measured = a_round(answers)

    assert measured.at(0.5) == 8.0
    assert measured.at(0.99) == math.inf


def test_an_unknown_result_without_a_card_has_its_own_time() -> None:
    measured = a_round([an_answer(380.0, cards=())], is_known=False)

    assert measured.at(1.0) == 380.0
    assert measured.late == measured.refused == 0


def test_answers_after_the_deadline_and_refusals_are_counted() -> None:
    answers = [an_answer(450.0), an_answer(450.1), an_answer(2000.0, code="412", cards=())]
    measured = a_round([*answers, an_answer(code="TimeoutError", cards=())], is_known=False)

    assert measured.late == 2
    assert measured.refused == 2


def test_a_round_says_what_its_answers_were() -> None:
    answers = [
        an_answer(),
        an_answer(),
        an_answer(cards=("not read",)),
        an_answer(cards=()),
        an_answer(code="503", cards=()),
        an_answer(code="ConnectionRefusedError", cards=()),
    ]

    said = str(a_round(answers, is_known=False))

    assert "2 warning card, 1 not read card, 1 no card, 1 HTTP 503, 1 ConnectionRefused" in said


def test_the_worst_round_is_held_against_the_goal() -> None:
    fast, slow = a_round([an_answer(8.0)]), a_round([an_answer(60.0)], ehr_ms=2000)

    figure = slowest_at([fast, slow], 0.99, 50.0, "p99")

    assert figure.value == 60.0
    assert "NOT MET" in str(figure)
    assert "EHR 2000 ms" in figure.conditions


def test_counts_name_the_rounds_they_come_from() -> None:
    good, bad = a_round([an_answer()]), a_round([an_answer(code="503", cards=())], ehr_ms=300)

    figure = counted([good, bad], "refused", "refused")

    assert figure.value == 1
    assert figure.conditions == "of 2 calls; 1 with known, EHR 300 ms, Redis up"
    assert "none" in counted([good], "refused", "refused").conditions
