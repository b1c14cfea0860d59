"""Searchset Bundles: two as one, and whether that is all."""

from typing import Any

import pytest

from cds_service.fhir.bundle import is_complete, joined, next_link, searchset

STUDY = {"resource": {"resourceType": "ImagingStudy", "id": "s-1"}}
OUTCOME = {"resource": {"resourceType": "OperationOutcome"}, "search": {"mode": "outcome"}}
NEXT = [{"relation": "next", "url": "ImagingStudy?page=2"}]


@pytest.mark.parametrize(
    "changes",
    [{}, {"entry": []}, {"entry": None}, {"total": 1}, {"total": 0}, {"total": "9"}, {"link": []}],
    ids=str,
)
def test_a_searchset_that_names_nothing_further_is_complete(changes: dict[str, Any]) -> None:
    assert is_complete(searchset([STUDY]) | changes)


@pytest.mark.parametrize(
    "changes",
    [{"link": NEXT}, {"total": 2}, {"entry": [STUDY, OUTCOME]}, {"resourceType": "ImagingStudy"}],
    ids=str,
)
def test_a_searchset_that_may_lack_something_is_not(changes: dict[str, Any]) -> None:
    assert not is_complete(searchset([STUDY]) | changes)


def test_two_pages_as_one_say_what_follows_the_second() -> None:
    first = searchset([STUDY], following="ImagingStudy?page=2")

    whole = joined(first, searchset([STUDY]))
    longer = joined(first, searchset([STUDY], following="ImagingStudy?page=3"))

    assert len(whole["entry"]) == 2 and is_complete(whole)
    assert next_link(longer) == "ImagingStudy?page=3" and not is_complete(longer)
