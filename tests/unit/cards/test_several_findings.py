"""Cards about a model that looks for several things, and about several models."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from cds_service.domain.card import Card, Indicator
from cds_service.domain.finding import Coding, Finding
from cds_service.domain.job import JobState
from cds_service.domain.review import Review, Verdict
from cds_service.usecases.answer_hook import answer_hook
from cds_service.usecases.card_scores import MAX_SCORES
from tests.builders import NOW, a_finding, a_model, a_result, a_tenant, an_analysis
from tests.fakes.imaging import a_use
from tests.unit.cards.builders import (
    House,
    MakeHouse,
    a_call,
    a_card_model,
    a_patient_resource,
    a_study_resource,
    know,
)

EFFUSION = Coding("http://snomed.info/sct", "60046008", "Pleural effusion")
LATER = NOW + timedelta(days=1)
CT_ONLY = a_use(modalities=frozenset({"CT"}))
NODULE = Coding("http://snomed.info/sct", "427359005", "Lung nodule")


def several(**present: bool | None) -> tuple[Finding, ...]:
    """Pneumonia, effusion and nodule, absent unless told."""
    codings = {"pneumonia": a_finding().coding, "effusion": EFFUSION, "nodule": NODULE}
    return tuple(
        a_finding(
            coding=coding,
            present=present.get(name, False),
            probability=0.9 if present.get(name) else 0.2,
        )
        for name, coding in codings.items()
    )


def agree(house: House, coding: Coding) -> None:
    review = Review("t-1", "r-1", coding.code, Verdict.AGREE, "Practitioner/1", NOW)
    house.reviews.record(review, to_chart=False)


def cards_about(house: House, findings: tuple[Finding, ...], **tenant: Any) -> list[Card]:
    know(house, analysis=an_analysis(findings=findings))
    return answer_hook(a_call(), a_tenant(**tenant), house.desk, budget_s=60)


def test_a_card_names_the_most_urgent_finding_and_counts_the_others(a_house: MakeHouse) -> None:
    findings = several(pneumonia=True, nodule=True)
    critical = (*findings[:2], replace(findings[2], critical=True))

    (card,) = cards_about(a_house(), critical)

    assert card.indicator is Indicator.CRITICAL
    assert "signs of lung nodule (AI score 0.90, threshold 0.62) and 1 more finding" in card.summary
    for name in ("Pneumonia", "Pleural effusion", "Lung nodule"):
        assert f"**{name}:** score" in card.detail_markdown


def test_an_uncertain_finding_among_several_is_named(a_house: MakeHouse) -> None:
    (card,) = cards_about(a_house(), several(effusion=None))

    assert "uncertain about pleural effusion, the AI cannot tell" in card.summary


def test_none_of_several_findings_is_said_of_all_together(a_house: MakeHouse) -> None:
    (card,) = cards_about(a_house(), several(), shows_negative=True)

    assert "AI found none of the 3 findings that it looks for" in card.summary


def test_of_many_findings_the_absent_ones_are_named_without_their_scores(
    a_house: MakeHouse,
) -> None:
    many = tuple(
        a_finding(coding=Coding("urn:test", f"c-{number}", f"Sign {number}"), present=False)
        for number in range(MAX_SCORES)
    )

    (card,) = cards_about(a_house(), (*many, a_finding()))

    assert card.detail_markdown.count("score") == 2  # the finding's, and the advice
    assert "**Below their thresholds:** sign 0, sign 1, sign 2, sign 3" in card.detail_markdown


def test_a_finding_that_nobody_has_reviewed_is_not_silent_with_one_that_was(
    a_house: MakeHouse,
) -> None:
    house = a_house()
    know(house, analysis=an_analysis(findings=several(pneumonia=True, effusion=True)))
    agree(house, a_finding().coding)

    (card,) = answer_hook(a_call(), a_tenant(shows_negative=True), house.desk, budget_s=60)

    assert "signs of pleural effusion" in card.summary

    agree(house, EFFUSION)
    assert answer_hook(a_call(), a_tenant(shows_negative=True), house.desk, budget_s=60) == []


@pytest.mark.parametrize(("newer_effusion", "cards"), [(False, 2), (None, 2), (True, 1)])
def test_a_newer_study_replaces_an_older_one_only_with_all_that_it_showed(
    a_house: MakeHouse, newer_effusion: bool | None, cards: int
) -> None:
    house = a_house()
    house.record.resources = [a_patient_resource(), a_study_resource(1), a_study_resource(2)]
    for number, effusion in ((1, True), (2, newer_effusion)):
        findings = several(pneumonia=True, effusion=effusion)
        started = NOW - timedelta(days=20 - number)
        know(house, number, analysis=an_analysis(findings=findings), study_started=started)

    assert len(answer_hook(a_call(prefetch={}), a_tenant(), house.desk, budget_s=60)) == cards


def test_a_study_goes_to_the_model_whose_intended_use_fits(a_house: MakeHouse) -> None:
    second = a_card_model(identity=a_model(id="second"))
    house = a_house(use=CT_ONLY, others=((second, a_use()),))

    answer_hook(a_call(), a_tenant(), house.desk, budget_s=60)

    (job,) = house.jobs.all
    assert job.model_id == "second"


def test_a_card_speaks_of_the_model_that_gave_its_result(a_house: MakeHouse) -> None:
    other = a_card_model(
        identity=a_model(id="other", title="Other model", label="Only for tests."),
        findings=(EFFUSION,),
        scope="anything",
        does_not_look_for=("pneumonia",),
    )
    house = a_house(use=CT_ONLY, others=((other, a_use()),))
    know(house, analysis=an_analysis(model=other.identity, findings=several(effusion=True)[1:2]))

    (card,) = answer_hook(a_call(), a_tenant(), house.desk, budget_s=60)

    assert card.source.label == "Other model" and card.source.url.endswith("/app/models/other")
    assert "pleural effusion, on anything" in card.detail_markdown
    assert card.detail_markdown.endswith("Only for tests.")


def test_a_site_that_goes_back_to_an_earlier_model_gets_its_result_again(
    a_house: MakeHouse,
) -> None:
    other = a_card_model(identity=a_model(id="other", digest="sha256:" + "2" * 64))
    house = a_house()
    know(house)
    house.model, first = other, house.model
    answer_hook(a_call(), a_tenant(), house.desk, budget_s=60)
    (_, second_job) = house.jobs.all
    lease = house.jobs.take(second_job.id, "worker")
    assert lease is not None
    house.clock.advance(60)
    later = a_result(
        id="r-other", key="k-other", analysis=an_analysis(model=other.identity), computed_at=LATER
    )
    house.jobs.finish(lease, house.results.save(later, lease).id)

    house.model = first
    answer_hook(a_call(), a_tenant(), house.desk, budget_s=60)

    assert house.jobs.get("job-1").state is JobState.OPEN
    assert len(house.jobs.all) == 2
