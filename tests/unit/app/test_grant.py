"""The token response: read strictly where it matters, and tolerant of what we do not know."""

from typing import Any
from urllib.parse import parse_qs

import pytest

from cds_service.errors import EhrBusy, LaunchRefused
from smart_app.discovery import AuthorizationServer
from smart_app.grant import DEFAULT_LIFE_S, Grant, grant_from, redeem
from tests.unit.app.transport import Answers, session_over

SERVER = AuthorizationServer(
    issuer="https://ehr.example.org/auth",
    authorization_endpoint="https://ehr.example.org/auth/authorize",
    token_endpoint="https://ehr.example.org/auth/token",
    jwks_uri="https://ehr.example.org/auth/jwks",
    speaks_v2_scopes=True,
)


def a_response(**changes: Any) -> dict[str, Any]:
    response = {
        "access_token": "opaque",
        "token_type": "bearer",
        "id_token": "a.b.c",
        "expires_in": 900,
        "patient": "p-1",
        "scope": "launch patient/Patient.r",
        "smart_style_url": "https://ehr.example.org/style.json",
    }
    return {name: value for name, value in (response | changes).items() if value is not None}


def a_grant(**changes: Any) -> Grant:
    return grant_from(a_response(**changes), requested_scope="asked")


def redeemed(answers: Answers) -> Grant:
    return redeem(
        SERVER,
        session_over(answers),
        code="code",
        verifier="verifier",
        redirect_uri="https://sightline.example.org/app/callback",
        assertion="signed",
    )


def test_the_code_is_redeemed_with_our_assertion_and_no_client_id() -> None:
    answers = Answers(200, a_response())

    grant = redeemed(answers)

    (request,) = answers.requests
    assert parse_qs(str(request.body)) == {
        "grant_type": ["authorization_code"],
        "code": ["code"],
        "code_verifier": ["verifier"],
        "redirect_uri": ["https://sightline.example.org/app/callback"],
        "client_assertion_type": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
        "client_assertion": ["signed"],
    }
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert (grant.patient_id, grant.expires_in_s) == ("p-1", 900)


def test_a_refusal_and_a_fault_are_told_apart() -> None:
    with pytest.raises(LaunchRefused):
        redeemed(Answers(400, {"error": "invalid_grant"}))
    with pytest.raises(EhrBusy):
        redeemed(Answers(502, {}))


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": None},
        {"token_type": "mac"},
        {"id_token": None},
        {"patient": None},
        {"patient": "../Patient/2"},
        {"patient": 7},
    ],
)
def test_a_response_without_what_we_need_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(LaunchRefused):
        a_grant(**changes)


def test_a_grant_does_not_print_its_tokens() -> None:
    assert "opaque" not in repr(a_grant()) and "a.b.c" not in repr(a_grant())


@pytest.mark.parametrize(
    ("value", "seconds"), [(60, 60), ("60", 60), (None, DEFAULT_LIFE_S), ("soon", DEFAULT_LIFE_S)]
)
def test_the_life_of_the_token_is_read_or_short(value: object, seconds: int) -> None:
    assert a_grant(expires_in=value).expires_in_s == seconds


def test_a_missing_scope_means_what_was_asked() -> None:
    assert a_grant(scope=None).scope == "asked"


@pytest.mark.parametrize(
    ("value", "needs"), [(True, True), (None, True), ("false", True), (0, True), (False, False)]
)
def test_the_banner_is_left_out_only_for_exactly_false(value: object, needs: bool) -> None:
    assert a_grant(need_patient_banner=value).needs_patient_banner is needs


def test_imaging_studies_of_the_launch_are_read_from_the_context() -> None:
    context = [
        {"reference": "ImagingStudy/s-1"},
        {"reference": "https://ehr.example.org/fhir/ImagingStudy/s-2/_history/3", "role": "launch"},
        {"reference": "ImagingStudy/s-3", "role": "https://example.org/other"},
        {"reference": "Encounter/e-1"},
        {"canonical": "https://example.org/Questionnaire"},
        "odd",
    ]

    assert a_grant(fhirContext=context).imaging_studies == ("s-1", "s-2")


@pytest.mark.parametrize("context", [None, "{", "[]", "null", '"text"', 7, '{"study": 7}'])
def test_a_foreign_app_context_is_none_of_ours(context: object) -> None:
    assert a_grant(appContext=context).app_context == {}


def test_our_app_context_is_read() -> None:
    grant = a_grant(appContext='{"study": "1.2", "job": null, "result": "r-1", "more": 1}')

    assert grant.app_context == {"study": "1.2", "result": "r-1"}
