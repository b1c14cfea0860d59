"""The rules of a model card: from YAML to what the domain judges."""

import pytest
import yaml

from cds_service.adapters.model_rules import series_rules_of
from cds_service.adapters.model_shelf import intended_use_of
from cds_service.domain.rule import All, Comparison, Either, Not
from cds_service.domain.series_rules import SeriesRules
from models.contract import ModelCard
from tests.unit.models.networks import a_foreign_card, halves

ROUTING = """
rule:
  all:
  - {element: Modality, one_of: [CR, DX]}
  - not: {element: SeriesDescription, matches: '(?i)lateral'}
  - any:
    - {element: KVP, min: 50, max: 130}
    - {element: PatientAge, max: 6}
series: best
prefer:
- {element: ViewPosition, one_of: [PA]}
images: {min: 1, max: 4}
"""


def a_card(routing: object) -> ModelCard:
    return ModelCard.from_yaml(yaml.safe_dump(a_foreign_card(halves(), routing=routing)))


def test_a_cards_rules_are_those_that_the_domain_judges() -> None:
    rules = intended_use_of(a_card(yaml.safe_load(ROUTING))).series

    assert rules == SeriesRules(
        rule=All(
            (
                Comparison("Modality", one_of=("CR", "DX")),
                Not(Comparison("SeriesDescription", matches="(?i)lateral")),
                Either((Comparison("KVP", least=50, most=130), Comparison("PatientAge", most=6))),
            )
        ),
        only_best=True,
        prefer=(Comparison("ViewPosition", one_of=("PA",)),),
        min_images=1,
        max_images=4,
    )


@pytest.mark.parametrize("frame", [None, 2])
def test_the_guards_know_which_frame_a_card_names(frame: int | None) -> None:
    changes = {"intended_use__frame": frame} if frame else {}
    card = ModelCard.from_yaml(yaml.safe_dump(a_foreign_card(halves(), **changes)))

    assert intended_use_of(card).frame == frame


def test_a_card_without_rules_has_none() -> None:
    card = ModelCard.from_yaml(yaml.safe_dump(a_foreign_card(halves())))

    assert card.routing == {} and series_rules_of(card.routing) is None


@pytest.mark.parametrize(
    ("routing", "named"),
    [
        ({"rule": {"element": "Modality", "matches": "("}}, "routing.rule.matches"),
        ({"rule": {"element": "KVP", "min": 9, "max": 1}}, "routing.rule"),
        (
            {"rule": {"all": [{"element": "Colour", "one_of": ["x"]}]}},
            "routing.rule.all[0].element",
        ),
        ({"rule": {"element": "Modality", "one_of": ["DX"], "onef": 1}}, "unknown entry onef"),
        ({"images": {"min": 3, "max": 2}}, "routing.images"),
    ],
)
def test_a_wrong_rule_is_named(routing: object, named: str) -> None:
    with pytest.raises(ValueError) as refused:
        a_card(routing)

    assert named in str(refused.value)


def test_rules_are_not_nested_without_end() -> None:
    rule: dict[str, object] = {"element": "Modality", "one_of": ["DX"]}
    for _ in range(200):
        rule = {"not": rule}

    with pytest.raises(ValueError, match="nested more than"):
        a_card({"rule": rule})
