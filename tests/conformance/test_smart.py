"""SMART App Launch as a client: the backend's requests, bearers, and references elsewhere."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import pytest
from flask import Flask, Response, jsonify, request
from joserfc import jws

from cds_service.adapters.backend_token import READ_SCOPES, WRITE_SCOPES, BackendTokens
from cds_service.adapters.client_assertion import ASSERTION_TYPE
from cds_service.adapters.egress import Egress
from cds_service.adapters.ehr import FhirRecord
from cds_service.domain.hook import FhirAuthorization
from cds_service.domain.smart_client import ClientKind
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, EndpointNotAllowed
from tests.builders import a_signer, a_tenant
from tests.web_app.house import listening

SIGNER = a_signer()
SCOPE = re.compile(r"system/[A-Z][A-Za-z]+\.(?=.)c?r?u?d?s?")


@dataclass
class Ehr:
    """An EHR on loopback that notes what it is asked."""

    origin: str = ""
    token_endpoint: str = ""
    next_page: str = ""
    asked: list[Any] = field(default_factory=list)

    def app(self) -> Flask:
        site = Flask("ehr")
        site.before_request(self._note)
        site.get("/fhir/.well-known/smart-configuration")(self._configuration)
        site.post("/token")(self._token)
        site.get("/fhir/<path:path>")(self._resource)
        return site

    def _note(self) -> None:
        facts = (
            request.method,
            request.path,
            dict(request.headers),
            request.get_data(as_text=True),
        )
        self.asked.append(facts)

    def _configuration(self) -> Response:
        endpoint = self.token_endpoint or f"{self.origin}/token"
        return jsonify(token_endpoint=endpoint, code_challenge_methods_supported=["S256"])

    def _token(self) -> Response:
        form = request.form
        return jsonify(
            access_token=f"token-{len(self.asked)}",
            token_type="bearer",
            expires_in=60,
            scope=form["scope"],
        )

    def _resource(self, path: str) -> Response:
        links = [{"relation": "next", "url": self.next_page}] if self.next_page else []
        return jsonify({"resourceType": "Bundle", "type": "searchset", "link": links})

    def tenant(self) -> Tenant:
        return a_tenant(fhir_base=f"{self.origin}/fhir", archive_base=None)


@pytest.fixture
def ehr() -> Iterator[Ehr]:
    server = Ehr()
    with listening(server.app()) as port:
        server.origin = f"http://127.0.0.1:{port}"
        yield server


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.requirement("@226", "@227", "@233", "@234", "@235", "@236", "@237", "@238")
def test_the_backend_discovers_and_posts_a_form_with_a_fresh_assertion(ehr: Ehr) -> None:
    clock = Clock()
    tokens = BackendTokens(Egress(), SIGNER, clock)

    assert tokens.token(ehr.tenant()) is not None
    clock.now = 61
    tokens.token(ehr.tenant())

    discovery, *posts = ehr.asked
    assert discovery[:2] == ("GET", "/fhir/.well-known/smart-configuration")
    assert discovery[2]["Accept"] == "application/json"
    forms = [parse_qs(body) for _, _, _, body in posts]
    assert len(forms) == 2
    for (method, path, headers, _), form in zip(posts, forms, strict=True):
        assert (method, path) == ("POST", "/token")
        assert headers["Content-Type"] == "application/x-www-form-urlencoded"
        assert form["grant_type"] == ["client_credentials"] and "client_id" not in form
        assert form["client_assertion_type"] == [ASSERTION_TYPE]
        assert form["scope"][0].split()
    assertions = [form["client_assertion"][0] for form in forms]
    assert len({jws.extract_compact(one.encode()).payload for one in assertions}) == 2


@pytest.mark.requirement("@263")
def test_a_new_backend_token_is_asked_for_when_the_old_one_ends(ehr: Ehr) -> None:
    clock = Clock()
    tokens = BackendTokens(Egress(), SIGNER, clock)

    first, same = tokens.token(ehr.tenant()), tokens.token(ehr.tenant())
    clock.now = 61
    second = tokens.token(ehr.tenant())

    assert first is same and second is not None and first is not None
    assert second.access_token != first.access_token


@pytest.mark.requirement("@120", "@122", "@143", "@239")
def test_the_backend_s_scopes_are_of_the_system_in_v2_syntax() -> None:
    letters = set()
    for scope in READ_SCOPES + WRITE_SCOPES:
        assert SCOPE.fullmatch(scope)
        letters |= set(scope.rpartition(".")[2])

    assert letters == set("crus")


@pytest.mark.requirement("@93", "@264")
def test_a_read_carries_its_token_as_a_bearer(ehr: Ehr) -> None:
    record = FhirRecord(Egress(), BackendTokens(Egress(), SIGNER))
    launch = FhirAuthorization("launch-token", "patient/ImagingStudy.rs", 300, "p-1")

    for authorization in (launch, None):
        record.read(
            ehr.tenant(), "ImagingStudy?patient=p-1", authorization=authorization, timeout_s=60
        )

    reads = [headers for _, path, headers, _ in ehr.asked if path == "/fhir/ImagingStudy"]
    with_launch, own = (headers["Authorization"] for headers in reads)
    assert with_launch == "Bearer launch-token" and re.fullmatch(r"Bearer token-\d+", own)


@pytest.mark.requirement("@97", "@98", "@267", "@268")
@pytest.mark.parametrize("is_own", [False, True])
def test_a_page_at_another_server_is_never_asked_for(ehr: Ehr, is_own: bool) -> None:
    elsewhere = Ehr()
    record = FhirRecord(Egress(), BackendTokens(Egress(), SIGNER))
    launch = FhirAuthorization("launch-token", "patient/ImagingStudy.rs", 300, "p-1")
    with listening(elsewhere.app()) as port:
        ehr.next_page = f"http://127.0.0.1:{port}/fhir/ImagingStudy?page=2"
        with pytest.raises(EhrAnswerInvalid):
            record.read(
                ehr.tenant(),
                "ImagingStudy?patient=p-1",
                authorization=None if is_own else launch,
                timeout_s=60,
            )

    assert elsewhere.asked == []


@pytest.mark.requirement("@230", "@232")
def test_the_backend_s_secrets_go_to_no_plain_address_that_is_not_registered(ehr: Ehr) -> None:
    elsewhere = Ehr()
    with listening(elsewhere.app()) as port:
        ehr.token_endpoint = f"http://127.0.0.1:{port}/token"
        with pytest.raises(EndpointNotAllowed):
            BackendTokens(Egress(), SIGNER).token(ehr.tenant())

    assert elsewhere.asked == []


def test_a_client_without_keys_asks_for_no_token_of_its_own(ehr: Ehr) -> None:
    tenant = a_tenant(fhir_base=f"{ehr.origin}/fhir", client_kind=ClientKind.PUBLIC)

    assert BackendTokens(Egress(), SIGNER).token(tenant) is None
    assert ehr.asked == []
