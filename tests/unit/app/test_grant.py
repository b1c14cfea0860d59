"""The token response: read strictly where it matters, and tolerant of what we do not know."""

from typing import Any
from urllib.parse import parse_qs

import pytest

from cds_service.errors import EhrBusy, LaunchRefused
from smart_app.client_proof import ClientProof
from smart_app.discovery import AuthorizationServer
from smart_app.grant import DEFAULT_LIFE_S, Grant, grant_from, redeem, refresh
from smart_app.scopes import LaunchKind
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


def a_grant(kind: LaunchKind = LaunchKind.EHR, **changes: Any) -> Grant:
    return grant_from(a_response(**changes), kind=kind, requested_scope="asked")


ASSERTION = ClientProof(
    body={
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": "signed",
    }
)


def redeemed(answers: Answers, proof: ClientProof = ASSERTION) -> Grant:
    return redeem(
        SERVER,
        session_over(answers),
        code="code",
        verifier="verifier",
        redirect_uri="https://sightline.example.org/app/callback",
        proof=proof,
        kind=LaunchKind.EHR,
        requested_scope="asked",
    )


@pytest.mark.requirement("@62", "@64", "@65", "@67", "@68", "@69", "@70", "@72", "@333", "@334")
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
    assert (grant.patient_id, grant.access.expires_in_s) == ("p-1", 900)


def test_a_refusal_and_a_fault_are_told_apart() -> None:
    with pytest.raises(LaunchRefused):
        redeemed(Answers(400, {"error": "invalid_grant"}))
    with pytest.raises(EhrBusy):
        redeemed(Answers(502, {}))


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": None},
        {"token_type": None},
        {"token_type": "mac"},
        {"id_token": None},
        {"patient": None},
        {"patient": ""},
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
    assert a_grant(expires_in=value).access.expires_in_s == seconds


def test_a_missing_scope_means_what_was_asked() -> None:
    assert a_grant(scope=None).access.scope == "asked"


@pytest.mark.parametrize(
    ("value", "needs"), [(True, True), (None, True), ("false", True), (0, True), (False, False)]
)
def test_the_banner_is_left_out_only_for_exactly_false(value: object, needs: bool) -> None:
    assert a_grant(need_patient_banner=value).needs_patient_banner is needs


@pytest.mark.requirement("@191")
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


@pytest.mark.requirement("@191")
def test_a_study_of_the_launch_may_be_named_by_its_identifier() -> None:
    uid = {"system": "urn:dicom:uid", "value": "urn:oid:1.2.3"}
    context = [
        {"type": "ImagingStudy", "identifier": uid},
        {"type": "ImagingStudy", "identifier": {"value": "A-7"}, "role": "launch"},
        {"type": "Encounter", "identifier": uid},
        {"type": "ImagingStudy", "identifier": {"system": "urn:dicom:uid"}},
        {"type": "ImagingStudy", "identifier": "urn:oid:1.2.3"},
        {"identifier": uid},
    ]

    named = ("identifier=urn:dicom:uid|urn:oid:1.2.3", "identifier=|A-7")
    assert a_grant(fhirContext=context).imaging_studies == named


@pytest.mark.parametrize("context", [None, "{", "[]", "null", '"text"', 7, '{"study": 7}'])
def test_a_foreign_app_context_is_none_of_ours(context: object) -> None:
    assert a_grant(appContext=context).app_context == {}


def test_our_app_context_is_read() -> None:
    grant = a_grant(appContext='{"study": "1.2", "job": null, "result": "r-1", "more": 1}')

    assert grant.app_context == {"study": "1.2", "result": "r-1"}


@pytest.mark.requirement("@63", "@71")
def test_a_public_client_sends_its_id_and_nothing_that_proves_it() -> None:
    answers = Answers(200, a_response())

    redeemed(answers, ClientProof(body={"client_id": "c-1"}))

    (request,) = answers.requests
    form = parse_qs(str(request.body))
    assert form["client_id"] == ["c-1"] and "client_assertion" not in form
    assert "Authorization" not in request.headers


def test_a_users_own_session_has_no_patient_whatever_the_server_says() -> None:
    assert a_grant(kind=LaunchKind.USER).patient_id is None
    assert a_grant(kind=LaunchKind.USER, patient=None).patient_id is None
    with pytest.raises(LaunchRefused):
        a_grant(kind=LaunchKind.PATIENT, patient=None)


def test_what_the_launch_says_besides_is_kept_where_it_is_a_text() -> None:
    grant = a_grant(intent="review", tenant="site-1", refresh_token="again")

    assert (grant.intent, grant.organization) == ("review", "site-1")
    assert grant.style_url == "https://ehr.example.org/style.json"
    assert grant.access.refresh_token == "again" and "again" not in repr(grant)
    for odd in (7, "", "x" * 9000, {"a": 1}):
        other = a_grant(intent=odd, tenant=odd, refresh_token=odd, smart_style_url=odd)
        assert other.intent is other.organization is other.style_url is None
        assert other.access.refresh_token is None


@pytest.mark.requirement("@105", "@106", "@107", "@108")
def test_a_refresh_sends_the_token_and_no_wider_scope() -> None:
    answers = Answers(200, a_response(scope=None, refresh_token="next"))

    access, patient = refresh(
        SERVER, session_over(answers), refresh_token="old", proof=ASSERTION, scope="granted"
    )

    (request,) = answers.requests
    form = parse_qs(str(request.body))
    assert form["grant_type"] == ["refresh_token"] and form["refresh_token"] == ["old"]
    assert "scope" not in form and form["client_assertion"] == ["signed"]
    assert (access.scope, access.refresh_token, patient) == ("granted", "next", "p-1")
