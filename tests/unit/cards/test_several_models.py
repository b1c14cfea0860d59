"""Hooks about a study that several models read: each has its own job, result and card."""

import pytest

from cds_service.domain.card import Card
from cds_service.domain.finding import Coding, Finding, ModelIdentity
from cds_service.domain.job import Job
from cds_service.errors import EhrTimedOut
from cds_service.usecases.answer_hook import answer_hook
from tests.builders import a_finding, a_model, a_result, a_tenant, an_analysis, not_analysed
from tests.fakes.imaging import a_use
from tests.unit.cards.builders import House, MakeHouse, a_call, a_card_model

EFFUSION = Coding("http://snomed.info/sct", "60046008", "Pleural effusion")
FIRST = a_model()
SECOND = a_model(id="effusion", title="Effusion model", digest="sha256:" + "2" * 64)
NEW_MODEL = "Another AI model, or a newer version, is analysing this study now."
NEW_IMAGES = "New images have arrived and are being analysed."


@pytest.fixture
def house(a_house: MakeHouse) -> House:
    """Two models for every study: one looks for pneumonia, one for an effusion."""
    second = a_card_model(identity=SECOND, findings=(EFFUSION,))
    return a_house(others=((second, a_use()),))


def answer(house: House, **tenant: object) -> list[Card]:
    return answer_hook(a_call(), a_tenant(**tenant), house.desk, budget_s=60)


def job_of(house: House, model: ModelIdentity) -> Job:
    return next(job for job in house.jobs.all if job.model_id == model.id)


def finish(house: House, model: ModelIdentity, *findings: Finding, refusal: str = "") -> None:
    """Do the model's job, a minute after what happened before."""
    lease = house.jobs.take(job_of(house, model).id, "worker")
    assert lease is not None
    house.clock.advance(60)
    analysis = (
        not_analysed("age", refusal, model=model)
        if refusal
        else an_analysis(model=model, findings=findings)
    )
    name = f"{model.id}-{model.version}"
    result = a_result(id=name, key=name, analysis=analysis, computed_at=house.clock())
    house.jobs.finish(lease, house.results.save(result, lease).id)


def test_each_model_that_looks_for_something_else_has_a_job_of_its_own(house: House) -> None:
    answer(house)
    answer(house)

    assert sorted(job.model_id for job in house.jobs.all) == sorted([FIRST.id, SECOND.id])
    assert sorted(house.doorbell.rung) == sorted(job.id for job in house.jobs.all)


def test_each_result_has_a_card_with_its_own_model(house: House) -> None:
    answer(house)
    finish(house, FIRST, a_finding())
    finish(house, SECOND, a_finding(coding=EFFUSION))

    cards = answer(house)

    assert {card.source.label for card in cards} == {FIRST.title, SECOND.title}
    assert len({card.uuid for card in cards}) == 2
    assert len(house.jobs.all) == 2, "nothing is asked for again"


def test_what_one_model_found_stands_while_the_other_still_runs(house: House) -> None:
    answer(house)
    finish(house, SECOND, a_finding(coding=EFFUSION))

    first, second = answer(house, shows_running=True)

    assert "signs of pleural effusion" in first.summary
    assert "AI analysis" in second.summary
    assert NEW_IMAGES not in first.detail_markdown and NEW_MODEL not in first.detail_markdown


def test_a_model_that_is_not_made_for_it_is_silent_beside_one_that_is(house: House) -> None:
    answer(house)
    finish(house, FIRST, a_finding())
    finish(house, SECOND, refusal="made for adults, this patient is 3")

    (card,) = answer(house)

    assert "signs of pneumonia" in card.summary
    assert len(house.jobs.all) == 2 and not any(job.is_analysing for job in house.jobs.all)


def test_a_negative_of_the_model_that_finished_last_hides_no_finding(house: House) -> None:
    answer(house)
    finish(house, FIRST, a_finding())
    finish(house, SECOND, a_finding(coding=EFFUSION, present=False, probability=0.1))

    (card,) = answer(house, shows_negative=False)

    assert "signs of pneumonia" in card.summary


def test_of_two_models_that_share_a_finding_neither_hides_the_other(a_house: MakeHouse) -> None:
    pneumonia = a_finding(present=False, probability=0.1)
    second = a_card_model(identity=SECOND, findings=(pneumonia.coding, EFFUSION))
    house = a_house(others=((second, a_use()),))
    answer(house)
    finish(house, SECOND, pneumonia, a_finding(coding=EFFUSION))
    finish(house, FIRST, pneumonia)

    (card,) = answer(house, shows_negative=False)

    assert "signs of pleural effusion" in card.summary
    assert not any(job.is_analysing for job in house.jobs.all), "nothing is asked for again"


def test_a_newer_version_is_said_to_be_a_newer_version_and_not_new_images(house: House) -> None:
    answer(house)
    finish(house, FIRST, a_finding())
    finish(house, SECOND, a_finding(coding=EFFUSION))
    newer = a_model(version="0.2.0", digest="sha256:" + "3" * 64)
    house.model = a_card_model(identity=newer)

    cards = answer(house)

    said = {card.source.label: card.detail_markdown for card in cards}
    assert NEW_MODEL in said[FIRST.title] and NEW_IMAGES not in said[FIRST.title]
    assert NEW_MODEL not in said[SECOND.title]
    assert [job.model_id for job in house.jobs.all if job.is_analysing] == [FIRST.id]


def test_what_a_removed_model_found_stands_until_a_model_that_is_left_has_read(
    house: House,
) -> None:
    answer(house)
    finish(house, SECOND, a_finding(coding=EFFUSION))
    house.others = ()

    (before,) = answer(house)
    finish(house, FIRST, a_finding())
    (after,) = answer(house)

    assert "signs of pleural effusion" in before.summary
    assert "signs of pneumonia" in after.summary


def test_without_the_ehrs_list_both_results_are_told(house: House) -> None:
    answer(house)
    finish(house, FIRST, a_finding())
    finish(house, SECOND, a_finding(coding=EFFUSION))
    house.record.failure = EhrTimedOut("The EHR gave no answer in time.")

    cards = answer_hook(a_call(prefetch={}), a_tenant(), house.desk, budget_s=60)

    assert {card.source.label for card in cards} == {FIRST.title, SECOND.title}
