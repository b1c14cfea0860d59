"""Keys and words of findings."""

import pytest

from cds_service.domain.finding import dispatch_key, finding_uuid, result_key, score_text


@pytest.mark.parametrize(
    ("probability", "text"),
    [(0.0, "<0.01"), (0.004, "<0.01"), (0.005, "0.01"), (0.5, "0.50"), (0.994, "0.99")],
)
def test_a_score_has_two_digits_and_is_never_nought(probability: float, text: str) -> None:
    assert score_text(probability) == text


@pytest.mark.parametrize("probability", [0.995, 0.9999, 1.0])
def test_a_score_is_never_shown_as_one(probability: float) -> None:
    assert score_text(probability) == ">0.99"


def test_the_dispatch_key_changes_with_whose_it_is_the_counts_and_the_model() -> None:
    key = dispatch_key("t", "p", "1.2", 1, 1, "sha256:a", "c")

    others = {
        dispatch_key("u", "p", "1.2", 1, 1, "sha256:a", "c"),
        dispatch_key("t", "q", "1.2", 1, 1, "sha256:a", "c"),
        dispatch_key("t", "p", "1.2", 1, 2, "sha256:a", "c"),
        dispatch_key("t", "p", "1.2", None, 1, "sha256:a", "c"),
        dispatch_key("t", "p", "1.2", 1, 1, "sha256:b", "c"),
        dispatch_key("t", "p", "1.2", 1, 1, "sha256:a", "d"),
    }
    assert len(others) == 6 and key not in others


def test_the_result_key_depends_on_whose_the_instances_are_and_not_on_their_order() -> None:
    def key(*digests: str, patient_id: str = "p", is_mismatch: bool = False) -> str:
        named = ("t", patient_id, "1.2", digests, "m", "c")
        return result_key(*named, is_mismatch=is_mismatch)

    assert key("a", "b") == key("b", "a") != key("ab")
    others = {key("a", "b"), key("a", "b", patient_id="q"), key("a", "b", is_mismatch=True)}
    assert len(others) == 3


def test_a_finding_has_one_name_per_tenant_study_model_and_code() -> None:
    names = {
        finding_uuid("t", "1.2", "m", "f"),
        finding_uuid("t", "1.2", "m", "f"),
        finding_uuid("u", "1.2", "m", "f"),
        finding_uuid("t", "1.3", "m", "f"),
    }
    assert len(names) == 3
