"""SMART scopes: parsing, granting, and what a token allows."""

import pytest

from cds_service.sandbox.outcomes import ScopeDenied
from cds_service.sandbox.scopes import Access, granted, parse_scope

APP = frozenset({"patient", "user"})


@pytest.mark.parametrize(
    ("text", "letters"),
    [
        ("patient/Observation.rs", "rs"),
        ("patient/Observation.read", "rs"),
        ("user/*.write", "cud"),
        ("system/*.*", "cruds"),
        ("system/Patient.cruds", "cruds"),
    ],
)
def test_both_versions_of_scopes_are_understood(text: str, letters: str) -> None:
    scope = parse_scope(text)

    assert scope is not None and scope.letters == letters


@pytest.mark.parametrize(
    "text",
    ["patient/Observation.sr", "patient/Observation.", "patient/Observation.rx", "observation.rs",
     "patient/Observation.rs?category=imaging", "patient/observation.rs", "openid"],
)  # fmt: skip
def test_what_is_no_resource_scope_is_none(text: str) -> None:
    assert parse_scope(text) is None


@pytest.mark.parametrize(
    ("requested", "registered", "answer"),
    [
        ("patient/Patient.rs", "patient/Patient.rs", "patient/Patient.rs"),
        ("patient/Patient.cruds", "patient/Patient.rs", "patient/Patient.rs"),
        ("patient/Patient.read", "patient/*.cruds", "patient/Patient.read"),
        ("patient/*.read", "patient/Patient.rs", "patient/Patient.rs"),
        ("patient/*.rs", "patient/Patient.r patient/Media.s", "patient/Patient.r patient/Media.s"),
        ("user/Patient.rs", "patient/Patient.rs", ""),
        ("system/Patient.rs", "system/Patient.rs", ""),
        ("openid launch", "openid", "openid"),
        ("openid openid", "openid", "openid"),
    ],
)
def test_a_grant_is_what_was_asked_and_is_registered(
    requested: str, registered: str, answer: str
) -> None:
    assert granted(requested, registered, APP) == answer


def test_the_widest_level_decides_whose_data_is_reached() -> None:
    both = Access("patient/Observation.rs user/Observation.r", "p1")

    assert both.confinement("r", "Observation") is None
    assert both.confinement("s", "Observation") == "Patient/p1"


def test_a_patient_scope_without_a_patient_allows_nothing() -> None:
    with pytest.raises(ScopeDenied):
        Access("patient/Observation.rs", None).confinement("r", "Observation")


def test_what_many_patients_share_is_readable_and_never_writable() -> None:
    access = Access("patient/*.cruds", "p1")

    assert access.confinement("r", "Practitioner") is None
    with pytest.raises(ScopeDenied):
        access.confinement("u", "Practitioner")
