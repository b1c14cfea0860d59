"""Discovery refuses what a safe launch cannot be built on."""

from dataclasses import replace
from typing import Any

import pytest

from cds_service.domain.smart_client import ClientKind
from cds_service.errors import EhrAnswerInvalid, EhrBusy, EhrTimedOut, LaunchRefused
from smart_app.discovery import AuthorizationServer, discover, jwks_address
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


@pytest.mark.requirement("@29", "@375")
def test_the_document_lies_under_the_fhir_base() -> None:
    answers = Answers(200, a_document())

    discover(TENANT, session_over(answers))

    (request,) = answers.requests
    assert request.url == f"{TENANT.fhir_base}/.well-known/smart-configuration"
    assert request.headers["Accept"] == "application/json"


@pytest.mark.requirement("@379")
def test_relative_addresses_are_resolved_against_the_fhir_base() -> None:
    server = discovered(token_endpoint="../auth/token", jwks_uri="/keys")

    assert server.token_endpoint == "https://ehr.example.org/tenant/auth/token"
    assert server.jwks_uri == "https://ehr.example.org/keys"


@pytest.mark.requirement("@1", "@318")
@pytest.mark.parametrize(
    "changes",
    [
        {"code_challenge_methods_supported": ["plain"]},
        {"code_challenge_methods_supported": None},
        {"token_endpoint_auth_methods_supported": ["client_secret_basic"]},
        {"token_endpoint_auth_signing_alg_values_supported": ["RS256"]},
        {"associated_endpoints": [{"url": "ftp://x", "capabilities": ["smart-imaging-access"]}]},
        {"issuer": None},
        {"issuer": 7},
        {"token_endpoint": ""},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": "http://ehr.example.org/authorize"},
        {"token_endpoint": "http://ehr.example.org/token"},
        {"authorization_endpoint": "https://ehr.example.org@evil.example/authorize"},
        {"token_endpoint": "https://[broken"},
    ],
)
def test_a_server_that_is_not_safe_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(LaunchRefused):
        discovered(**changes)


@pytest.mark.parametrize(
    ("kind", "methods"),
    [
        (ClientKind.SYMMETRIC, ["client_secret_basic"]),
        (ClientKind.PUBLIC, ["private_key_jwt"]),
        (ClientKind.PUBLIC, None),
    ],
)
def test_a_server_is_asked_only_for_the_way_in_that_was_registered(
    kind: ClientKind, methods: list[str] | None
) -> None:
    secret = b"sealed" if kind is ClientKind.SYMMETRIC else None
    tenant = a_tenant(fhir_base=TENANT.fhir_base, client_kind=kind, client_secret=secret)
    document = a_document(
        token_endpoint_auth_methods_supported=methods,
        token_endpoint_auth_signing_alg_values_supported=["RS256"],
    )

    assert discover(tenant, session_over(Answers(200, document))).issuer

    with pytest.raises(LaunchRefused):
        discover(
            replace(tenant, client_kind=ClientKind.SYMMETRIC, client_secret=b"sealed"),
            session_over(
                Answers(200, a_document(token_endpoint_auth_methods_supported=["private_key_jwt"]))
            ),
        )


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [(None, "ES384"), (["RS384"], "RS384"), (["RS256", "RS384", "ES384"], "ES384")],
)
def test_assertions_are_signed_as_the_server_reads_them(
    offered: list[str] | None, chosen: str
) -> None:
    server = discovered(token_endpoint_auth_signing_alg_values_supported=offered)

    assert server.assertion_algorithm == chosen


@pytest.mark.parametrize(
    ("capabilities", "v2", "post", "refresh"),
    [
        (["permission-v1"], False, False, ""),
        (["permission-v1", "permission-v2", "authorize-post"], True, True, ""),
        (["permission-online", "permission-offline"], True, False, "online_access"),
        (["permission-offline"], True, False, "offline_access"),
    ],
)
def test_capabilities_decide_how_the_server_is_spoken_to(
    capabilities: list[str], v2: bool, post: bool, refresh: str
) -> None:
    server = discovered(capabilities=capabilities)

    assert (server.speaks_v2_scopes, server.accepts_post) == (v2, post)
    assert server.refresh_scope == refresh


def test_a_public_client_asks_for_no_token_that_outlives_the_user_s_session() -> None:
    tenant = a_tenant(fhir_base=TENANT.fhir_base, client_kind=ClientKind.PUBLIC)
    document = a_document(capabilities=["permission-offline"])

    assert discover(tenant, session_over(Answers(200, document))).refresh_scope == ""


@pytest.mark.parametrize(
    ("changes", "base"),
    [
        ({}, None),
        ({"capabilities": ["smart-imaging-access"]}, TENANT.fhir_base),
        (
            {
                "associated_endpoints": [
                    "odd",
                    {"url": "https://ehr.example.org/other", "capabilities": ["bulk"]},
                    {"url": "/imaging/", "capabilities": ["smart-imaging-access"]},
                ]
            },
            "https://ehr.example.org/imaging",
        ),
    ],
)
def test_the_server_of_smart_imaging_access_is_found(
    changes: dict[str, Any], base: str | None
) -> None:
    assert discovered(**changes).imaging_base == base


@pytest.mark.requirement("@218")
def test_without_a_jwks_uri_the_issuer_s_own_document_names_it() -> None:
    server = discovered(jwks_uri=None)
    document = {"issuer": server.issuer, "jwks_uri": "https://ehr.example.org/keys"}
    answers = Answers(200, document)

    address = jwks_address(server, TENANT, session_over(answers))

    assert address == "https://ehr.example.org/keys"
    assert answers.requests[0].url == f"{server.issuer}/.well-known/openid-configuration"
    with pytest.raises(LaunchRefused):
        other = Answers(200, document | {"issuer": "https://evil.example.org"})
        jwks_address(server, TENANT, session_over(other))


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
