"""A card that is wrong must not load; one that is right must mean what it says."""

from typing import Any

import pytest

from models.contract import ModelCard
from tests.unit.models.builders import PNEUMONIA, a_card, a_parsed_card


def test_the_bundled_card_says_what_it_is_for() -> None:
    use = PNEUMONIA.intended_use

    assert PNEUMONIA.findings[0].coding.code == "233604007"
    assert PNEUMONIA.findings[0].coding.system == "http://snomed.info/sct"
    assert use.modalities == {"CR", "DX"} and use.views == {"AP", "PA"}
    assert use.body_parts == {"CHEST"}
    assert PNEUMONIA.label.endswith("Not a medical device.")


def test_ages_of_one_to_five_whole_years_are_inside() -> None:
    use = PNEUMONIA.intended_use

    assert use.min_age_days == 365
    assert use.max_age_days == 2190  # a sixth birthday comes after 2191 or 2192 days


def test_the_bundled_card_cites_its_training_data_and_its_licence() -> None:
    training = PNEUMONIA.details["training_data"]

    assert training["licence"] == "CC BY 4.0"
    assert any("10.17632/rscbjbr9sj.2" in line for line in training["citation"])


@pytest.mark.parametrize(
    "entry",
    [
        "id",
        "version",
        "label",
        "weights__digest",
        "output__finding__code",
        "input__size",
        "operating_point__threshold",
        "operating_point__abstain__low",
        "intended_use__modalities",
        "intended_use__age_years__max",
        "limits",
    ],
)
def test_a_missing_entry_is_named(entry: str) -> None:
    changes: dict[str, Any] = {entry: None}

    with pytest.raises(ValueError, match=entry.replace("__", r"\.")):
        a_parsed_card(**changes)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("operating_point__threshold", "0.5"),
        ("operating_point__threshold", True),
        ("input__size", 128.0),
        ("output__finding__critical", "no"),
        ("intended_use__views", "AP"),
        ("intended_use__views", []),
        ("intended_use__views", ["AP", 1]),
        ("title", ""),
    ],
)
def test_an_entry_of_the_wrong_kind_is_named(entry: str, value: object) -> None:
    changes: dict[str, Any] = {entry: value}

    with pytest.raises(ValueError, match=entry.replace("__", r"\.")):
        a_parsed_card(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"weights__digest": "sha256:abc"}, "SHA-256"),
        ({"operating_point__threshold": 1.5}, "threshold"),
        ({"operating_point__abstain": {"low": 0.9, "high": 0.95}}, "threshold"),
        ({"operating_point__calibration": {"slope": -1.0, "intercept": 0.0}}, "slope"),
        ({"intended_use__age_years": {"min": 6, "max": 1}}, "age"),
        *(
            ({f"operating_point__{entry}": number}, "not a number of this size")
            for entry in ("scope__threshold", "threshold", "calibration__intercept")
            for number in (float("nan"), float("inf"), 10**400)
        ),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        a_parsed_card(**changes)


@pytest.mark.parametrize("text", ["", "just words", "- a\n- list", "{unclosed", "a: !!python/x y"])
def test_a_text_that_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="model card"):
        ModelCard.from_yaml(text)


def test_defined_terms_are_read_in_capitals_as_a_header_is() -> None:
    use = a_parsed_card(
        intended_use__modalities=["dx"],
        intended_use__views=["Ap"],
        intended_use__body_parts=["Chest"],
    ).intended_use

    assert (use.modalities, use.views, use.body_parts) == ({"DX"}, {"AP"}, {"CHEST"})


def test_a_card_without_a_scope_score_has_no_limit_for_it() -> None:
    assert a_parsed_card(operating_point__scope=None).scope_threshold is None


@pytest.mark.parametrize("scope", [{}, {"threshold": "low"}])
def test_a_scope_without_its_threshold_is_refused(scope: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"operating_point\.scope\.threshold"):
        a_parsed_card(operating_point__scope=scope)


def test_a_whole_number_is_taken_as_a_float() -> None:
    card = ModelCard.from_yaml(a_card(operating_point__calibration={"slope": 1, "intercept": 0}))

    (finding,) = card.findings
    assert finding.calibration_slope == 1.0 and type(finding.calibration_slope) is float
