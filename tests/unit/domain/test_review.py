"""Which verdict stands, and what a review may hold."""

from datetime import timedelta
from typing import Any

import pytest

from cds_service.domain.finding import Box
from cds_service.domain.review import (
    Reason,
    Review,
    Verdict,
    reviewed_result,
    ring_of,
    smallest_side,
    standing,
)
from tests.builders import NOW

A, B = "Practitioner/1", "Practitioner/2"


def said(
    verdict: Verdict, who: str = A, code: str = "f", minutes: int = 0, **changes: Any
) -> Review:
    at = NOW + timedelta(minutes=minutes)
    return Review("t-1", "r-1", code, verdict, who, at, **changes)


AGREE, DISAGREE, BACK = Verdict.AGREE, Verdict.DISAGREE, Verdict.WITHDRAWN
NOTE = said(Verdict.COMMENT, comment="Seen")


@pytest.mark.parametrize(
    ("history", "verdict"),
    [
        ([], None),
        ([said(AGREE)], AGREE),
        ([said(AGREE), said(DISAGREE)], DISAGREE),
        ([said(AGREE), said(BACK)], None),
        ([said(AGREE), said(BACK), said(DISAGREE)], DISAGREE),
        ([said(AGREE), said(DISAGREE, B)], DISAGREE),
        ([said(AGREE), said(DISAGREE, B), said(BACK, B)], AGREE),
        ([said(AGREE), said(DISAGREE, B), said(BACK, A)], DISAGREE),
        ([said(AGREE), said(DISAGREE, B), said(AGREE, A)], AGREE),
        ([said(AGREE), NOTE], AGREE),
        ([NOTE], None),
    ],
)
def test_the_newest_verdict_that_was_not_taken_back_stands(
    history: list[Review], verdict: Verdict | None
) -> None:
    stands = standing(history)

    assert (stands["f"].verdict if stands else None) == verdict


def test_each_finding_has_a_verdict_of_its_own() -> None:
    stands = standing([said(AGREE), said(DISAGREE, code="g"), said(BACK, code="g")])

    assert stands == {"f": said(AGREE)}


def test_the_same_said_again_at_another_time_is_the_same() -> None:
    first = said(DISAGREE, reason=Reason.QUALITY, comment="dark")

    assert first.says_the_same(said(DISAGREE, minutes=1, reason=Reason.QUALITY, comment="dark"))
    assert not first.says_the_same(said(DISAGREE, reason=Reason.QUALITY))
    assert not first.says_the_same(said(DISAGREE, reason=Reason.OTHER, comment="dark"))
    assert not first.says_the_same(said(DISAGREE, B, reason=Reason.QUALITY, comment="dark"))
    assert not first.says_the_same(said(DISAGREE, code="g", reason=Reason.QUALITY, comment="dark"))


@pytest.mark.parametrize(
    ("verdict", "parts"),
    [
        (AGREE, {"reason": Reason.OTHER}),
        (AGREE, {"region": Box(0, 0, 1, 1)}),
        (Verdict.WRONG_PLACE, {}),
        (Verdict.WRONG_PLACE, {"region": Box(0, 0, 1, 0)}),
        (Verdict.WRONG_PLACE, {"region": Box(65535, 0, 1, 1)}),
        (AGREE, {"comment": ""}),
        (AGREE, {"comment": "x" * 1001}),
    ],
)
def test_a_review_holds_what_belongs_to_its_verdict(
    verdict: Verdict, parts: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=r"region|reason|comment|place"):
        said(verdict, **parts)


def test_every_reason_has_words() -> None:
    assert all(reason.display for reason in Reason)


def test_a_ring_names_its_result_and_no_job() -> None:
    assert reviewed_result(ring_of("r-1")) == "r-1"
    assert reviewed_result("r-1") is None


@pytest.mark.parametrize(
    ("rows", "columns", "smallest"), [(64, 48, 2), (2048, 2048, 10), (4280, 3520, 21)]
)
def test_a_place_is_larger_than_a_slip_of_the_hand(rows: int, columns: int, smallest: int) -> None:
    assert smallest_side(rows, columns) == smallest
