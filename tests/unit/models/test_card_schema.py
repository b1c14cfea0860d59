"""The JSON Schema of a card and the code that reads it refuse and take the same cards."""

import json
from importlib.resources import files
from typing import Any

import jsonschema
import pytest
import yaml

from models.contract import ModelCard
from models.registry import card_of, model_ids
from tests.unit.models.networks import a_finding_entry, a_foreign_card, halves

SCHEMA = json.loads((files("models") / "card.schema.json").read_text(encoding="utf-8"))
WEIGHTS = halves()

A_SITE = {"system": "http://snomed.info/sct", "code": "51185008", "display": "Thoracic structure"}
A_TEST = {"element": "ViewPosition", "one_of": ["AP"]}
TEXTS = ("version", "title", "developer", "label", "input__name", "output__scores__name")
WRONG: list[dict[str, Any]] = [
    *({name: None} for name in (*TEXTS, "id", "weights__digest", "input__size", "limits")),
    *({name: ""} for name in TEXTS),
    *({name: 1} for name in TEXTS),
    *({name: "FILL IN: this"} for name in TEXTS),
    {"id": "Upper"},
    {"id": "../up"},
    {"licence": "FILL IN: of the weights"},
    {"licence": 1},
    {"weights__digest": "sha256:abc"},
    {"weights__opset": "17"},
    {"weights__opset": 8},
    {"input__size": 8},
    {"input__size": 4096},
    {"input__size": "28"},
    {"input__size": 10**400},
    {"input__channels": 2},
    {"input__layout": "CHW"},
    {"input__recipe__fit": "squash"},
    {"input__recipe__grey": "blue"},
    {"input__recipe__values": [0.0]},
    {"input__recipe__values": ["0", "1"]},
    {"input__recipe__std": [0.0]},
    {"output__scores": None},
    {"output__scores__kind": "odds"},
    {"output__activation": ""},
    {"output__findings": []},
    {"output__findings": ["left"]},
    {"output__findings": None},
    {"output__finding": a_finding_entry("left")},
    {"output__findings": [a_finding_entry("left", column=-1)]},
    {"output__findings": [a_finding_entry("left", code=1)]},
    {"output__findings": [a_finding_entry("left", critical="no")]},
    {"output__findings": [a_finding_entry("left", operating_point={"threshold": 0.5})]},
    {"output__findings": [a_finding_entry("left", body_site={"code": "51185008"})]},
    {"output__findings": [a_finding_entry("left", body_site="chest")]},
    {"operating_point__scope": {}},
    {"operating_point__scope": {"threshold": 10**400}},
    {"operating_point__scope": {"threshold": -2e9}},
    {"input__recipe__values": [0, 10**400]},
    {"intended_use__modalities": []},
    {"intended_use__modalities": None},
    {"intended_use__views": []},
    {"intended_use__body_parts": ["CHEST", 1]},
    {"intended_use__age_years__max": "old"},
    {"intended_use__age_years__max": 10**400},
    {"intended_use__age_years__max": 151},
    {"intended_use__age_years__min": -1},
    {"intended_use__population": None},
    {"intended_use__frame": 0},
    {"intended_use__frame": "1"},
    {"does_not_look_for": [""]},
    *(
        {"routing": {"rule": rule}}
        for rule in (
            {},
            {"all": []},
            {"all": [A_TEST], "any": [A_TEST]},
            {"not": [A_TEST]},
            {"element": "PatientName", "one_of": ["DOE"]},
            {"element": "Modality"},
            {"element": "Modality", "min": 1},
            {"element": "Modality", "one_of": []},
            {"element": "Modality", "one_of": ["DX"], "matches": "D"},
            {"element": "SeriesDescription", "matches": "x" * 201},
            {"element": "KVP", "one_of": ["60"]},
            {"element": "KVP"},
            {"element": "KVP", "min": "60"},
            {"element": "KVP", "min": 10**400},
        )
    ),
    {"routing": {"rules": A_TEST}},
    {"routing": {"series": "newest"}},
    {"routing": {"prefer": [A_TEST]}},
    {"routing": {"series": "every", "prefer": [A_TEST]}},
    {"routing": {"images": {"min": 0}}},
    {"routing": {"images": {"most": 3}}},
]
RIGHT: list[dict[str, Any]] = [
    {},
    {"licence": "Apache-2.0"},
    {"weights__opset": 17},
    {"input__channels": 3, "input__layout": "NHWC"},
    {"input__recipe": None},
    {"input__channels": 3, "input__recipe__mean": [0.5] * 3, "input__recipe__std": [0.2] * 3},
    {"output__scores__kind": "class-logits"},
    {"output__activation": "[N, 2, 7, 7], local logits"},
    {"operating_point__scope": {"threshold": -1}},
    {"output__findings": [a_finding_entry("right", column=1)]},
    {"output__findings": [a_finding_entry("left", body_site=A_SITE)]},
    {"intended_use__views": ["AP", "PA"]},
    {"intended_use__frame": 2},
    {"routing": {"rule": {"any": [A_TEST, {"not": {"all": [A_TEST]}}]}}},
    {"routing": {"rule": {"element": "KVP", "min": 50, "max": 130.5}}},
    {"routing": {"rule": {"element": "SeriesDescription", "matches": "(?i)chest"}}},
    {"routing": {"series": "best", "prefer": [A_TEST], "images": {"min": 1, "max": 2}}},
]


def is_valid_by_schema(card: dict[str, Any]) -> bool:
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(card)


def is_read(card: dict[str, Any]) -> bool:
    try:
        ModelCard.from_yaml(yaml.safe_dump(card))
    except ValueError:
        return False
    return True


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("model_id", model_ids())
def test_every_bundled_card_fits_the_schema(model_id: str) -> None:
    assert is_valid_by_schema(card_of(model_id).details)


@pytest.mark.parametrize("changes", RIGHT, ids=str)
def test_both_take_a_right_card(changes: dict[str, Any]) -> None:
    card = a_foreign_card(WEIGHTS, **changes)

    assert is_valid_by_schema(card) and is_read(card)


@pytest.mark.parametrize("changes", WRONG, ids=str)
def test_both_refuse_a_wrong_card(changes: dict[str, Any]) -> None:
    card = a_foreign_card(WEIGHTS, **changes)

    assert not is_valid_by_schema(card) and not is_read(card)
