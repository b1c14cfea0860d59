"""Rules about images: tests, and, or, not, and what is not stated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cds_service.domain.rule import (
    NUMBER_ELEMENTS,
    TEXT_ELEMENTS,
    All,
    Comparison,
    Either,
    Not,
    Rule,
    explain,
)
from models.card_rules import NUMBERS, TEXTS

HOLDS, FAILS = Comparison("Modality", one_of=("DX",)), Comparison("Modality", one_of=("CT",))
UNKNOWN = Comparison("Manufacturer", one_of=("ACME",))
FACTS = {"Modality": "DX", "KVP": 60.0, "SeriesDescription": "CHEST ap"}

rules = st.recursive(
    st.sampled_from((HOLDS, FAILS, UNKNOWN)),
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(All, st.lists(inner, min_size=1, max_size=3).map(tuple)),
        st.builds(Either, st.lists(inner, min_size=1, max_size=3).map(tuple)),
    ),
    max_leaves=8,
)


def test_a_card_may_name_what_the_domain_judges() -> None:
    assert (TEXTS, NUMBERS) == (TEXT_ELEMENTS, NUMBER_ELEMENTS)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (Comparison("Modality", one_of=("cr", "dx")), True),
        (Comparison("SeriesDescription", matches="(?i)chest"), True),
        (Comparison("SeriesDescription", matches="^ap"), False),
        (Comparison("KVP", least=60, most=60), True),
        (Comparison("KVP", least=60.5), False),
        (Comparison("KVP", most=59), False),
        (Comparison("Rows", least=1), None),
        (UNKNOWN, None),
    ],
)
def test_a_test_holds_fails_or_is_not_stated(rule: Rule, said: bool | None) -> None:
    assert rule.judge(FACTS) is said


def test_a_pattern_looks_at_no_more_than_a_dicom_text_can_hold() -> None:
    far_away = {"SeriesDescription": "x" * 64 + "chest"}

    assert Comparison("SeriesDescription", matches="chest").judge(far_away) is False


@given(rules, rules)
def test_what_is_not_stated_stays_unknown_through_and_or_not(one: Rule, other: Rule) -> None:
    """De Morgan holds with three values, and what is stated later only settles the unknown."""
    outside = Not(Either((one, other))).judge(FACTS)
    assert outside is All((Not(one), Not(other))).judge(FACTS)

    said = one.judge(FACTS)
    if said is not None:
        for maker in ("ACME", "OTHER"):
            assert one.judge(FACTS | {"Manufacturer": maker}) is said


def test_the_explanation_names_every_part_with_what_it_saw() -> None:
    rule = All((HOLDS, Not(Comparison("KVP", least=100)), UNKNOWN))

    lines = [(line.depth, line.asked, line.said, line.stated) for line in explain(rule, FACTS)]

    assert lines == [
        (0, "all of", None, None),
        (1, "Modality is DX", True, "DX"),
        (1, "not", True, None),
        (2, "KVP is at least 100", False, 60.0),
        (1, "Manufacturer is ACME", None, None),
    ]


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (Comparison("ProtocolName", matches="(?i)chest"), "ProtocolName matches (?i)chest"),
        (Comparison("Modality", one_of=("CR", "DX")), "Modality is CR or DX"),
    ],
)
def test_a_comparison_says_what_is_asked(rule: Comparison, words: str) -> None:
    assert str(rule) == words
