"""Which results of a study stand when several models have read it."""

from datetime import timedelta
from typing import Any

import pytest

from cds_service.domain.finding import Coding, Result
from cds_service.domain.standing import standing_for, standing_results
from tests.builders import NOW, a_finding, a_model, a_result, an_analysis, not_analysed

PNEUMONIA = a_finding().coding
NODULE = Coding("http://snomed.info/sct", "427359005", "Solitary nodule of lung")
EFFUSION = Coding("http://snomed.info/sct", "60046008", "Pleural effusion")


def said(model: str, *codings: Coding, hour: int = 0, **changes: Any) -> Result:
    """A result of this model, computed in this hour."""
    findings = tuple(a_finding(coding=coding) for coding in codings)
    analysis = an_analysis(model=a_model(id=model), findings=findings)
    name = f"{model}-{hour}"
    at = NOW + timedelta(hours=hour)
    return a_result(id=name, key=name, computed_at=at, **({"analysis": analysis} | changes))


def refused(model: str, code: str = "age", hour: int = 0) -> Result:
    return said(model, hour=hour, analysis=not_analysed(code, "why", model=a_model(id=model)))


def ids(*results: Result) -> list[str]:
    return [one.id for one in standing_results(results)]


def test_what_two_models_looked_for_stands_side_by_side_the_newest_first() -> None:
    assert ids(said("a", PNEUMONIA, hour=1), said("b", EFFUSION, hour=2)) == ["b-2", "a-1"]


def test_a_result_takes_the_place_of_an_older_one_about_the_same() -> None:
    older = said("a", PNEUMONIA)

    assert ids(older, said("a", PNEUMONIA, hour=1)) == ["a-1"]
    assert ids(older, said("newer_a", PNEUMONIA, EFFUSION, hour=1)) == ["newer_a-1"]
    assert ids(said("newer_a", PNEUMONIA), said("a", PNEUMONIA, hour=1)) == ["a-1"]


@pytest.mark.parametrize("later", [(PNEUMONIA,), (PNEUMONIA, NODULE)], ids=["fewer", "others"])
def test_what_a_later_model_did_not_look_for_is_not_lost(later: tuple[Coding, ...]) -> None:
    many = said("many", PNEUMONIA, EFFUSION)

    assert ids(many, said("later", *later, hour=1)) == ["later-1", "many-0"]


def test_a_refusal_is_silent_beside_findings_and_speaks_alone() -> None:
    found, other = said("a", PNEUMONIA), refused("b", hour=1)

    assert ids(found, other) == ["a-0"]
    assert ids(refused("a"), other) == ["b-1"]


def test_images_of_somebody_else_are_named_whatever_was_found() -> None:
    assert ids(said("a", PNEUMONIA), refused("b", "patient-mismatch", hour=1)) == ["b-1", "a-0"]


def test_a_model_that_refuses_now_takes_back_what_it_found() -> None:
    assert ids(said("a", PNEUMONIA), refused("a", "damaged-pixels", hour=1)) == ["a-1"]


def test_a_link_leads_to_what_its_model_said_or_to_what_took_its_place() -> None:
    pneumonia, effusion = said("a", PNEUMONIA), said("b", EFFUSION, hour=1)
    newer = said("c", PNEUMONIA, hour=2)
    own_refusal = refused("d", hour=3)

    assert standing_for("a", [pneumonia, effusion]) == pneumonia
    assert standing_for("a", [pneumonia, effusion, newer]) == newer
    assert standing_for("d", [pneumonia, own_refusal]) == own_refusal
    assert standing_for("not yet", [pneumonia, effusion]) == effusion
    assert standing_for(None, []) is None
