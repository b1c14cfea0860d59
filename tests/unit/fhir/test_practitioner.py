"""A user's record: the languages they speak, the preferred first, and the roles they have."""

from datetime import date
from typing import Any

import pytest

from cds_service.fhir.practitioner import languages_in, practitioner_of, roles_in

TODAY = date(2026, 11, 23)
R4_PREFERRED = (
    "http://hl7.org/fhir/5.0/StructureDefinition/extension-Practitioner.communication.preferred"
)


def a_concept(code: object, **more: Any) -> dict[str, Any]:
    return {"coding": [{"system": "urn:ietf:bcp:47", "code": code}], **more}


def a_role(role_id: str = "7", **changes: Any) -> dict[str, Any]:
    role = {
        "resourceType": "PractitionerRole",
        "id": role_id,
        "practitioner": {"reference": "Practitioner/1"},
    }
    return role | changes


def a_bundle(*found: dict[str, Any]) -> dict[str, Any]:
    return {"resourceType": "Bundle", "entry": [{"resource": one} for one in found]}


def test_languages_come_as_they_are_listed() -> None:
    spoken = [a_concept("de-AT"), a_concept("fr"), a_concept("de-AT")]

    assert languages_in({"communication": spoken}) == ("de-AT", "fr")


@pytest.mark.parametrize(
    "preferred",
    [
        a_concept("pl", extension=[{"url": R4_PREFERRED, "valueBoolean": True}]),
        {"language": a_concept("pl"), "preferred": True},
    ],
    ids=["R4 with R5's extension", "R5, and R4 of a Patient"],
)
def test_the_preferred_language_is_the_first(preferred: dict[str, Any]) -> None:
    assert languages_in({"communication": [a_concept("fr"), preferred]}) == ("pl", "fr")


@pytest.mark.parametrize(
    "communication",
    [None, "de", ["de"], [{}], [{"coding": "de"}], [a_concept(7)], [a_concept("x" * 36)]],
)
def test_what_is_no_language_costs_itself_alone(communication: object) -> None:
    assert languages_in({"communication": communication}) == ()


def test_no_more_languages_are_kept_than_anybody_needs() -> None:
    assert len(languages_in({"communication": [a_concept(f"x-{n}") for n in range(99)]})) == 8


def test_a_role_says_whose_it_is() -> None:
    assert practitioner_of(a_role()) == "Practitioner/1"
    assert practitioner_of({"resourceType": "PractitionerRole"}) is None


@pytest.mark.parametrize(
    ("changes", "has_it"),
    [
        ({}, True),
        ({"active": True, "period": {"start": "2026-11-23", "end": "2026-11"}}, True),
        ({"active": False}, False),
        ({"period": {"end": "2026-11-22"}}, False),
        ({"period": {"start": "2027"}}, False),
        ({"period": {"end": "2026-11-23T08:00:00Z"}}, True),
        ({"practitioner": {"reference": "Practitioner/2"}}, False),
        ({"practitioner": None}, False),
        ({"resourceType": "Practitioner"}, False),
    ],
)
def test_a_role_counts_while_it_is_in_force(changes: dict[str, Any], has_it: bool) -> None:
    found = roles_in(a_bundle(a_role(**changes)), "Practitioner/1", TODAY)

    assert found == (("PractitionerRole/7",) if has_it else ())
