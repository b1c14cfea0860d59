"""What is asked for at sign-in: context by the kind of launch, and the least to read."""

import re

import pytest

from smart_app.scopes import LaunchKind, scope_for

# SMART App Launch 2.2 "FHIR Resource Scope Syntax"
V2 = re.compile(r"(patient|user)/[A-Z][A-Za-z]+\.c?r?u?d?s?")


def words(
    kind: LaunchKind, *, speaks_v2: bool = True, refresh: str = "", with_roles: bool = False
) -> list[str]:
    return scope_for(kind, speaks_v2=speaks_v2, refresh=refresh, with_roles=with_roles).split()


def resources(kind: LaunchKind, *, speaks_v2: bool = True) -> list[str]:
    return [
        word
        for word in words(kind, speaks_v2=speaks_v2)
        if re.match("(patient|user|system)/", word)
    ]


@pytest.mark.requirement("@150", "@151", "@152", "@166")
def test_context_is_asked_for_by_the_kind_of_launch() -> None:
    asked = {
        kind: [word for word in words(kind) if word.startswith("launch")] for kind in LaunchKind
    }

    assert asked == {
        LaunchKind.EHR: ["launch"],
        LaunchKind.PATIENT: ["launch/patient"],
        LaunchKind.USER: [],
    }


@pytest.mark.requirement("@121", "@125", "@135", "@137", "@141", "@131")
@pytest.mark.parametrize(
    ("kind", "level"),
    [(LaunchKind.EHR, "patient"), (LaunchKind.PATIENT, "patient"), (LaunchKind.USER, "user")],
)
def test_resources_are_asked_for_at_one_level_in_v2_syntax(kind: LaunchKind, level: str) -> None:
    asked = [word for word in resources(kind) if word != "user/Practitioner.r"]

    assert all(V2.fullmatch(word) and word.startswith(f"{level}/") for word in asked)
    assert len({word.partition(".")[0] for word in asked}) == len(asked)  # each type once
    assert f"{level}/ImagingStudy.rs" in asked


@pytest.mark.requirement("@46", "@148")
@pytest.mark.parametrize("kind", LaunchKind)
@pytest.mark.parametrize("speaks_v2", [True, False])
def test_nothing_is_asked_for_but_reading_and_never_with_a_wildcard(
    kind: LaunchKind, speaks_v2: bool
) -> None:
    for word in resources(kind, speaks_v2=speaks_v2):
        assert "*" not in word and word.rpartition(".")[2] in {"r", "rs", "read"}


def test_a_server_of_version_1_gets_its_own_syntax() -> None:
    assert "patient/ImagingStudy.read" in words(LaunchKind.EHR, speaks_v2=False)


@pytest.mark.requirement("@47", "@195", "@196", "@215", "@216")
@pytest.mark.parametrize("refresh", ["online_access", "offline_access", ""])
def test_who_signs_in_is_asked_and_a_refresh_token_where_there_is_one(refresh: str) -> None:
    asked = words(LaunchKind.EHR, refresh=refresh)

    assert {"openid", "fhirUser"} <= set(asked)
    assert [word for word in asked if word.endswith("_access")] == ([refresh] if refresh else [])


@pytest.mark.parametrize("kind", LaunchKind)
def test_where_there_is_no_imaging_study_orders_are_asked_for_instead(kind: LaunchKind) -> None:
    level = "user" if kind is LaunchKind.USER else "patient"

    usual = set(words(kind))
    without = set(scope_for(kind, speaks_v2=True, refresh="", with_studies=False).split())

    orders = {f"{level}/ServiceRequest.rs", f"{level}/DiagnosticReport.rs"}

    assert orders <= without and without - usual <= orders
    assert usual - without == {f"{level}/ImagingStudy.rs"}


@pytest.mark.parametrize("kind", LaunchKind)
def test_the_user_s_own_record_is_asked_for_and_roles_only_where_a_rule_needs_them(
    kind: LaunchKind,
) -> None:
    without, with_roles = set(words(kind)), set(words(kind, with_roles=True))

    assert "user/Practitioner.r" in without
    assert with_roles - without == {"user/PractitionerRole.rs"}
