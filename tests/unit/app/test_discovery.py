"""Discovery refuses what a safe launch cannot be built on."""

from typing import Any

import pytest

from cds_service.errors import EhrAnswerInvalid, EhrBusy, EhrTimedOut, LaunchRefused
from smart_app.discovery import AuthorizationServer, discover
from tests.builders import a_tenant
from tests.unit.app.transport import Answers, Silence, session_over

TENANT = a_tenant(fhir_base="https://ehr.example.org/tenant/fhir")


def a_document(**changes: Any) -> dict[str, Any]:
    document = {
        "issuer": "https://ehr.example.org/auth",
        "authorization_endpoint": "https://ehr.example.org/auth/authorize",
        "token_endpoint": "https://ehr.example.org/auth/token",
        "jwks_uri": "https://ehr.example.org/auth/jwks",
        "code_challenge_methods_supported": ["S256"],
        "capabilities": ["launch-ehr", "permission-v2"],
    }
    return {name: value for name, value in (document | changes).items() if value is not None}


def discovered(**changes: Any) -> AuthorizationServer:
    return discover(TENANT, session_over(Answers(200, a_document(**changes))))


def test_the_document_lies_under_the_fhir_base() -> None:
    answers = Answers(200, a_document())

    discover(TENANT, session_over(answers))

    (request,) = answers.requests
    assert request.url == f"{TENANT.fhir_base}/.well-known/smart-configuration"
    assert request.headers["Accept"] == "application/json"


def test_relative_addresses_are_resolved_against_the_fhir_base() -> None:
    server = discovered(token_endpoint="../auth/token", jwks_uri="/keys")

    assert server.token_endpoint == "https://ehr.example.org/tenant/auth/token"
    assert server.jwks_uri == "https://ehr.example.org/keys"


@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge_methods_supported": ["plain"]},
        {"code_challenge_methods_supported": None},
        {"token_endpoint_auth_methods_supported": ["client_secret_basic"]},
        {"issuer": None},
        {"issuer": 7},
        {"jwks_uri": None},
        {"token_endpoint": ""},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://ehr.example.org/authorize"},
        {"authorization_endpoint": "https://ehr.example.org@evil.example/authorize"},
        {"token_endpoint": "https://[broken"},
    ],
)
def test_a_server_that_is_not_safe_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(LaunchRefused):
        discovered(**changes)


@pytest.mark.parametrize(
    ("capabilities", "scope"),
    [
        (["permission-v1"], "patient/ImagingStudy.read"),
        (["permission-v1", "permission-v2"], "patient/ImagingStudy.rs"),
        ([], "patient/ImagingStudy.rs"),
    ],
)
def test_scopes_are_written_as_the_server_reads_them(capabilities: list[str], scope: str) -> None:
    assert scope in discovered(capabilities=capabilities).scope.split()


@pytest.mark.parametrize(
    ("adapter", "error"),
    [
        (Answers(404, {}), EhrAnswerInvalid),
        (Answers(200, b"<html>"), EhrAnswerInvalid),
        (Answers(200, []), EhrAnswerInvalid),
        (Answers(200, b'{"a":' * 100_000), EhrAnswerInvalid),
        (Answers(200, b"\xff\xfe"), EhrAnswerInvalid),
        (Answers(503, {}), EhrBusy),
        (Silence(200, {}), EhrTimedOut),
    ],
)
def test_a_server_that_does_not_answer_well_is_named(
    adapter: Answers, error: type[Exception]
) -> None:
    with pytest.raises(error):
        discover(TENANT, session_over(adapter))
