"""Reviews and their way into the chart: the same on the fake, SQLite and PostgreSQL."""

from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from cds_service.adapters.ledger import SqlReviews
from cds_service.adapters.vault import Vault
from cds_service.domain.finding import Box
from cds_service.domain.review import Reason, Review, Verdict, WriteState, ring_of
from cds_service.errors import LeaseLost
from tests.builders import NOW, PNEUMONIA, a_patient, a_result, a_study
from tests.contract.ledgers import Ledger, sql_ledger

RING = ring_of("r-1")


def a_review(verdict: Verdict = Verdict.AGREE, **changes: Any) -> Review:
    values: dict[str, Any] = {"finding_code": PNEUMONIA.code, "reviewer": "Practitioner/1"}
    return Review("t-1", "r-1", verdict=verdict, at=NOW, **(values | changes))


def with_a_result(ledger: Ledger) -> Ledger:
    job, _ = ledger.jobs.open("k-1", a_study(), a_patient(), "cxr_pneumonia_peds")
    lease = ledger.jobs.take(job.id, "worker-1")
    assert lease is not None
    ledger.results.save(a_result(), lease)
    return ledger


@pytest.fixture
def reviewed(ledger: Ledger) -> Ledger:
    """A ledger with a result, and one review of it that waits for the chart."""
    with_a_result(ledger).reviews.record(a_review(), to_chart=True)
    return ledger


# --- the history ------------------------------------------------------------------------------


def test_the_history_keeps_everything_in_its_order(ledger: Ledger) -> None:
    with_a_result(ledger)
    said = [
        a_review(),
        a_review(Verdict.DISAGREE, reason=Reason.ARTEFACT, comment="a wire\nover the lung"),
        a_review(Verdict.WRONG_PLACE, region=Box(10, 20, 300, 400), reviewer="Practitioner/2"),
        a_review(Verdict.COMMENT, comment="Пневмония?", finding_code="60046008"),
        a_review(Verdict.WITHDRAWN),
        a_review(Verdict.DISAGREE),  # of the first versions, which asked for no reason
    ]

    for one in said:
        ledger.reviews.record(one, to_chart=False)

    assert ledger.reviews.of("r-1") == said
    assert ledger.reviews.of("r-2") == []


def test_a_comment_is_sealed_for_its_own_hospital(engine: Engine) -> None:
    ledger = with_a_result(sql_ledger(engine))
    ledger.reviews.record(a_review(comment="Sampleton, Otto"), to_chart=False)

    with engine.connect() as connection:
        rows = connection.execute(sa.text("SELECT * FROM review")).all()

    assert b"Sampleton" not in repr(rows).encode() and "Sampleton" not in repr(rows)
    [kept] = ledger.reviews.of("r-1")
    assert kept.comment == "Sampleton, Otto" and "Sampleton" not in repr(kept)
    with pytest.raises(Exception, match="cannot be opened"):
        SqlReviews(engine, Vault(b"x" * 32)).of("r-1")


# --- the outbox -------------------------------------------------------------------------------


def test_a_review_that_is_not_for_the_chart_waits_for_nothing(ledger: Ledger) -> None:
    with_a_result(ledger).reviews.record(a_review(), to_chart=False)

    assert ledger.review_writes.of("r-1") is None
    assert ledger.review_writes.take("r-1") is None


def test_one_writer_at_a_time_and_its_outcome_is_kept(reviewed: Ledger) -> None:
    writes = reviewed.review_writes
    lease = writes.take("r-1")
    assert lease is not None and writes.take("r-1") is None

    assert writes.settle(lease, WriteState.DONE, references=("Observation/1",))

    kept = writes.of("r-1")
    assert kept is not None
    assert (kept.state, kept.references) == (WriteState.DONE, ("Observation/1",))
    assert writes.take("r-1") is None


def test_a_review_that_comes_while_one_is_written_is_written_too(reviewed: Ledger) -> None:
    writes = reviewed.review_writes
    lease = writes.take("r-1")
    assert lease is not None
    reviewed.reviews.record(a_review(Verdict.WITHDRAWN), to_chart=True)

    assert not writes.settle(lease, WriteState.DONE)

    again = writes.take("r-1")
    assert again is not None and writes.settle(again, WriteState.DONE)


def test_a_later_review_begins_a_new_wait_and_forgets_the_old_outcome(reviewed: Ledger) -> None:
    writes = reviewed.review_writes
    lease = writes.take("r-1")
    assert lease is not None
    writes.settle(lease, WriteState.FAILED, lost=("refused",))
    reviewed.clock.advance(3600)

    reviewed.reviews.record(a_review(Verdict.WITHDRAWN), to_chart=True)

    kept, again = writes.of("r-1"), writes.take("r-1")
    assert kept is not None and (kept.state, kept.lost) == (WriteState.WAITING, ())
    assert again is not None and again.waiting_since == reviewed.clock.now


def test_waiting_since_is_the_first_review_that_still_waits(reviewed: Ledger) -> None:
    first = reviewed.clock.now
    reviewed.clock.advance(60)

    reviewed.reviews.record(a_review(Verdict.WITHDRAWN), to_chart=True)

    lease = reviewed.review_writes.take("r-1")
    assert lease is not None and lease.waiting_since == first


@pytest.mark.parametrize(
    "late",
    [
        lambda writes, lease: writes.settle(lease, WriteState.DONE),
        lambda writes, lease: writes.postpone(lease, "EhrBusy"),
    ],
    ids=["settle", "postpone"],
)
def test_a_writer_that_was_killed_is_replaced_and_comes_too_late(
    reviewed: Ledger, late: Callable[[Any, Any], object]
) -> None:
    writes = reviewed.review_writes
    killed = writes.take("r-1")
    reviewed.clock.advance(121)
    assert writes.reclaim() == [RING]
    assert writes.take("r-1") is not None

    with pytest.raises(LeaseLost):
        late(writes, killed)


def test_the_sweep_rings_what_waits_once_in_thirty_seconds(reviewed: Ledger) -> None:
    writes = reviewed.review_writes
    assert writes.reclaim() == []  # whoever recorded it has rung

    reviewed.clock.advance(31)

    assert (writes.reclaim(), writes.reclaim()) == ([RING], [])
    reviewed.clock.advance(31)
    assert writes.reclaim() == [RING]


def test_a_ring_that_nobody_heard_is_rung_by_the_next_sweep(reviewed: Ledger) -> None:
    writes = reviewed.review_writes

    writes.unrung([RING])

    assert (writes.reclaim(), writes.reclaim()) == ([RING], [])


def test_what_is_being_written_or_is_done_is_not_rung(reviewed: Ledger) -> None:
    writes = reviewed.review_writes
    lease = writes.take("r-1")
    assert lease is not None
    reviewed.clock.advance(60)
    assert writes.reclaim() == []

    writes.settle(lease, WriteState.DONE)
    reviewed.clock.advance(3600)

    assert writes.reclaim() == []


def test_what_an_ehr_did_not_take_is_rung_after_a_minute(reviewed: Ledger) -> None:
    writes = reviewed.review_writes
    lease = writes.take("r-1")
    assert lease is not None

    writes.postpone(lease, "EhrBusy")

    kept = writes.of("r-1")
    assert kept is not None and (kept.state, kept.error) == (WriteState.WAITING, "EhrBusy")
    reviewed.clock.advance(59)
    assert writes.reclaim() == []
    reviewed.clock.advance(2)
    assert writes.reclaim() == [RING]
