"""The EhrRecord contract, on the fake and on the real adapter against a live FHIR server."""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Any

import pytest

from cds_service.adapters.backend_token import BackendTokens
from cds_service.adapters.egress import Egress
from cds_service.adapters.ehr import MAX_PAGES, FhirRecord
from cds_service.domain.hook import FhirAuthorization
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    EhrAnswerInvalid,
    EhrBusy,
    EhrRefused,
    EhrTimedOut,
    EhrTokenRefused,
    EndpointNotAllowed,
    ScopeDenied,
)
from cds_service.fhir.bundle import is_complete
from cds_service.usecases.ports import EhrRecord, Resource
from tests.builders import a_signer, a_tenant
from tests.contract.fhir_server import FhirServer, a_fhir_server
from tests.fakes.neighbours import GOOD_TOKEN, FakeEhrRecord

PATIENT = {"resourceType": "Patient", "id": "p-1"}
STUDIES = [{"resourceType": "ImagingStudy", "id": f"s-{n}"} for n in range(3)]
SEARCH = "ImagingStudy?patient=p-1"
SIGNER = a_signer()


@pytest.fixture(autouse=True)
def quiet_server() -> None:
    logging.getLogger("werkzeug").setLevel(logging.ERROR)


@pytest.fixture
def server() -> Iterator[FhirServer]:
    with a_fhir_server() as fhir:
        fhir.resources = [PATIENT, *STUDIES]
        fhir.client_keys = SIGNER.public_jwks()
        yield fhir


@dataclass
class Real:
    """The adapter, the server and the tenant that belong together."""

    record: FhirRecord
    tokens: BackendTokens
    server: FhirServer
    tenant: Tenant

    def read(self, path: str = "Patient/p-1", timeout_s: float = 60) -> Resource:
        return self.record.read(self.tenant, path, authorization=None, timeout_s=timeout_s)


@pytest.fixture
def real(server: FhirServer) -> Real:
    egress = Egress()
    tokens = BackendTokens(egress, SIGNER)
    tenant = a_tenant(fhir_base=f"{server.base}/fhir")
    return Real(FhirRecord(egress, tokens), tokens, server, tenant)


def authorized(scope: str = "patient/*.read", token: str = GOOD_TOKEN) -> FhirAuthorization:
    return FhirAuthorization(access_token=token, scope=scope, expires_in_s=300)


Read = Callable[..., Resource]


@pytest.fixture(params=["fake", "real"])
def ehr(request: pytest.FixtureRequest) -> tuple[EhrRecord, Tenant]:
    if request.param == "fake":
        return FakeEhrRecord(PATIENT, *STUDIES), a_tenant()
    real: Real = request.getfixturevalue("real")
    return real.record, real.tenant


@pytest.fixture
def read(ehr: tuple[EhrRecord, Tenant]) -> Read:
    record, tenant = ehr

    def read(path: str, authorization: FhirAuthorization | None = None) -> Resource:
        return record.read(tenant, path, authorization=authorization, timeout_s=60)

    return read


@pytest.fixture
def read_on(ehr: tuple[EhrRecord, Tenant]) -> Read:
    record, tenant = ehr

    def read_on(url: str, authorization: FhirAuthorization) -> Resource:
        url = url.replace("{base}", tenant.fhir_base)
        return record.read_on(
            tenant, "ImagingStudy", url, authorization=authorization, timeout_s=60
        )

    return read_on


# --- both ------------------------------------------------------------------------------------


def test_a_resource_is_read_with_the_hook_s_token(read: Read) -> None:
    assert read("Patient/p-1", authorized())["id"] == "p-1"


def test_a_search_is_one_searchset_bundle(read: Read) -> None:
    bundle = read(SEARCH, authorized())

    assert [entry["resource"]["id"] for entry in bundle["entry"]] == ["s-0", "s-1", "s-2"]


def test_an_ehr_that_remembers_searches_is_asked_afresh(real: Real, server: FhirServer) -> None:
    server.remembered = {}
    real.read(SEARCH)
    server.resources.append({"resourceType": "ImagingStudy", "id": "s-new"})

    bundle = real.read(SEARCH)

    assert bundle["entry"][-1]["resource"]["id"] == "s-new"


def test_without_an_authorization_our_own_token_is_used(read: Read) -> None:
    assert read("Patient/p-1")["id"] == "p-1"


def test_a_scope_that_does_not_allow_it_is_denied(read: Read) -> None:
    with pytest.raises(ScopeDenied):
        read(SEARCH, authorized("patient/Patient.read"))


def test_a_token_that_the_ehr_refuses_is_its_refusal(read: Read) -> None:
    with pytest.raises(EhrRefused):
        read("Patient/p-1", authorized(token="stolen"))


def test_a_resource_that_is_not_there_is_an_invalid_answer(read: Read) -> None:
    with pytest.raises(EhrAnswerInvalid):
        read("Patient/p-9", authorized())


@pytest.mark.parametrize("page", ["{base}/ImagingStudy?start=1", "ImagingStudy?start=1"])
def test_ch2_48_a_search_is_read_on_from_a_page(read_on: Read, page: str) -> None:
    bundle = read_on(page, authorized())

    assert bundle["entry"][-1]["resource"]["id"] == "s-2"


def test_ch2_61_reading_on_needs_the_scope_of_the_search(read_on: Read) -> None:
    with pytest.raises(ScopeDenied):
        read_on("ImagingStudy?start=1", authorized("patient/Patient.read"))


def test_t7_a_page_at_another_origin_is_never_asked_for(read_on: Read) -> None:
    with a_fhir_server() as thief:
        with pytest.raises(EhrAnswerInvalid):
            read_on(f"{thief.base}/fhir/ImagingStudy?start=1", authorized())

        assert thief.asked == []


# --- the adapter: how it reads ---------------------------------------------------------------


def test_a_denied_scope_costs_no_call(real: Real) -> None:
    with pytest.raises(ScopeDenied):
        real.record.read(real.tenant, SEARCH, authorization=authorized("launch"), timeout_s=60)

    assert real.server.asked == []


def test_all_pages_are_read_up_to_a_limit(real: Real) -> None:
    real.server.page_size = 2
    assert len(real.read(SEARCH)["entry"]) == 3

    real.server.resources = [{"resourceType": "ImagingStudy", "id": f"{n}"} for n in range(40)]
    assert len(real.read(SEARCH)["entry"]) == 2 * MAX_PAGES


def test_more_pages_than_are_read_are_said_to_follow(real: Real) -> None:
    real.server.page_size = 1
    assert is_complete(real.read(SEARCH))

    real.server.resources = [{"resourceType": "ImagingStudy", "id": f"{n}"} for n in range(9)]
    assert not is_complete(real.read(SEARCH))


@pytest.mark.parametrize("status", [400, 422, 501, 200])
def test_an_ehr_that_refuses_to_sort_is_asked_without_and_that_is_remembered(
    real: Real, status: int
) -> None:
    real.server.refuses, real.server.refusal_status = frozenset({"_sort"}), status
    path = f"{SEARCH}&_sort=-started&_count=20"

    for _ in range(2):
        assert len(real.read(path)["entry"]) == 3

    searches = [one for one in real.server.asked if "ImagingStudy" in one]
    assert ["_sort" in one for one in searches] == [True, False, False]
    assert all("patient=p-1" in one and "_count=" in one for one in searches)


def test_an_ehr_that_refuses_the_search_itself_is_asked_twice_and_no_more(real: Real) -> None:
    real.server.refuses = frozenset({"_sort", "patient"})

    for asked in (2, 4):  # not remembered: it was not the sorting
        with pytest.raises(EhrAnswerInvalid):
            real.read(f"{SEARCH}&_sort=-started")
        assert sum("ImagingStudy" in one for one in real.server.asked) == asked


def test_a_next_page_at_another_origin_is_not_asked_for(real: Real) -> None:
    with a_fhir_server() as thief:
        page = b'{"resourceType":"Bundle","link":[{"relation":"next","url":"%s/fhir/X"}]}'
        real.server.answer = (200, {}, page % thief.base.encode())

        with pytest.raises(EhrAnswerInvalid):
            real.read(SEARCH)

        assert thief.asked == []


def test_an_open_server_is_read_without_a_token(real: Real) -> None:
    real.server.is_open = True
    real.tenant = a_tenant(fhir_base=f"{real.server.base}/fhir", client_id=None)

    assert real.read()["id"] == "p-1" and "token" not in real.server.asked


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Sign in</html>",
        b"",
        b"[]",
        b'"Patient"',
        b'{"resourceType":"Patient","id":"p-2"}',
        b'{"resourceType":"Group","id":"p-1"}',
        b'{"resourceType":"OperationOutcome"}',
        b'{"resourceType":"Patient","id":"p-1","a":' + b"[" * 100 + b"]" * 100 + b"}",
        b"[" * 200_000,
        b'{"resourceType":"Patient","id":"p-1","a":NaN}',
        b'{"resourceType":"Patient","id":"p-1"',
        b"\xff\xfe",
        b" " * 5_000_000,
    ],
    ids=lambda body: repr(body[:30]),
)
def test_a_hostile_answer_is_an_upstream_failure(real: Real, body: bytes) -> None:
    real.server.answer = (200, {"Content-Type": "application/fhir+json"}, body)

    with pytest.raises(EhrAnswerInvalid):
        real.read()


@pytest.mark.parametrize(
    "body", [b'{"resourceType":"Patient"}', b'{"resourceType":"Bundle","entry":1}']
)
def test_a_search_that_is_answered_with_something_else_is_invalid(real: Real, body: bytes) -> None:
    real.server.answer = (200, {}, body)

    with pytest.raises(EhrAnswerInvalid):
        real.read(SEARCH)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (401, EhrTokenRefused),
        (403, EhrRefused),
        (429, EhrBusy),
        (500, EhrBusy),
        (503, EhrBusy),
        (302, EhrAnswerInvalid),
        (204, EhrAnswerInvalid),
        (404, EhrAnswerInvalid),
    ],
)
def test_a_status_becomes_one_of_our_errors(real: Real, status: int, error: type[Any]) -> None:
    real.server.answer = (status, {}, b"")

    with pytest.raises(error) as raised:
        real.read()

    assert raised.type is error


def test_an_ehr_that_said_later_is_left_alone_until_then(real: Real) -> None:
    real.server.answer = (503, {"Retry-After": "30"}, b"")
    with pytest.raises(EhrBusy):
        real.read()
    asked = len(real.server.asked)

    with pytest.raises(EhrBusy):
        real.read()

    assert len(real.server.asked) == asked


def test_a_slow_ehr_times_out_within_the_budget(real: Real) -> None:
    real.read()

    with real.server.hanging(), pytest.raises(EhrTimedOut):
        real.read(timeout_s=0.1)


def test_an_ehr_that_is_away_is_busy(real: Real) -> None:
    real.tenant = a_tenant(fhir_base="http://127.0.0.1:9/fhir", client_id=None)

    with pytest.raises(EhrBusy):
        real.read()


# --- the adapter: our own token --------------------------------------------------------------


def test_our_token_is_asked_for_once_however_many_read(real: Real) -> None:
    real.server.delay_s = 0.05
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: real.read(), range(4)))

    assert real.server.asked.count("token") == 1


def test_the_assertion_names_the_token_endpoint_and_us(real: Real) -> None:
    real.read()

    (claims,) = real.server.assertions
    assert claims["aud"] == f"{real.server.base}/token"
    assert claims["iss"] == claims["sub"] == "sightline"
    assert claims["exp"] - claims["iat"] <= 300


def test_a_token_is_renewed_before_it_expires(real: Real) -> None:
    real.server.expires_in = 20  # less than the 30 s that must be left
    real.read()
    real.read()

    assert real.server.asked.count("token") == 2


def test_a_token_that_was_revoked_is_asked_for_again(real: Real) -> None:
    real.read()
    real.server.issued[:] = ["another"]
    with pytest.raises(EhrRefused):
        real.read()

    assert real.read()["id"] == "p-1"


def test_a_narrower_grant_is_respected(real: Real) -> None:
    real.server.granted = "system/Patient.r"

    with pytest.raises(ScopeDenied):
        real.read(SEARCH)


def test_a_server_that_refuses_unknown_scopes_is_asked_for_those_it_knows(real: Real) -> None:
    real.server.refuses_unknown_scopes = True
    real.server.known_scopes = ["system/Patient.rs", "system/Observation.crus"]

    token = real.tokens.token(real.tenant)

    assert token is not None and token.scope == "system/Patient.rs system/Observation.crus"


def test_an_ehr_where_we_are_no_client_gives_no_token(real: Real) -> None:
    assert real.tokens.token(a_tenant(client_id=None)) is None


def test_an_administrator_is_told_which_scopes_the_ehr_does_not_grant(real: Real) -> None:
    real.server.token_answer = (400, b'{"error":"invalid_scope"}')

    with pytest.raises(EhrRefused, match=r"none of these scopes: system/Patient\.rs .*\.$"):
        real.read()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b'{"error":"invalid_client"}', EhrRefused),
        (400, b'{"error":"invalid_request"}', EhrRefused),
        (400, b'{"error":"invalid_scope"}', EhrRefused),
        (400, b"<html>", EhrAnswerInvalid),
        (302, b"", EhrRefused),
        (503, b"", EhrBusy),
        (200, b"<html>", EhrAnswerInvalid),
        (200, b"[]", EhrAnswerInvalid),
        (200, b'{"access_token":""}', EhrAnswerInvalid),
        (200, b'{"access_token":5}', EhrAnswerInvalid),
    ],
)
def test_a_token_endpoint_that_gives_no_token_is_an_upstream_failure(
    real: Real, status: int, body: bytes, error: type[Any]
) -> None:
    real.server.token_answer = (status, body)

    with pytest.raises(error):
        real.read()


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (404, b"", EhrAnswerInvalid),
        (200, b"{}", EhrAnswerInvalid),
        (200, b'{"token_endpoint":5}', EhrAnswerInvalid),
        (200, b'{"token_endpoint":"http://169.254.169.254/token"}', EndpointNotAllowed),
        (200, b'{"token_endpoint":"http://127.0.0.1:8/token"}', EndpointNotAllowed),
        (500, b"", EhrBusy),
    ],
)
def test_a_configuration_that_leads_nowhere_is_an_upstream_failure(
    real: Real, status: int, body: bytes, error: type[Any]
) -> None:
    real.server.configuration_answer = (status, body)

    with pytest.raises(error):
        real.read()


def test_a_token_endpoint_that_hangs_costs_one_budget_and_not_one_per_caller(real: Real) -> None:
    together = Barrier(4)

    def read() -> None:
        together.wait()
        real.read(timeout_s=2)

    with real.server.hanging(), ThreadPoolExecutor(4) as pool:
        outcomes = [pool.submit(read) for _ in range(4)]
        errors = [type(one.exception()) for one in outcomes]

    assert errors == [EhrTimedOut] * 4
    assert real.server.asked.count("token") == 1


def test_a_slow_token_endpoint_costs_the_first_read_and_not_the_next(real: Real) -> None:
    real.server.may_answer.clear()
    with pytest.raises(EhrTimedOut):
        real.read(timeout_s=0.2)
    real.server.may_answer.set()

    assert real.read(timeout_s=30.0)["id"] == "p-1"
    assert real.server.asked.count("token") == 1


def test_a_refused_token_is_forgotten_while_another_is_asked_for(real: Real) -> None:
    real.server.expires_in = 20  # so that it is asked for again at each read
    token = real.tokens.token(real.tenant)
    assert token is not None
    real.server.may_answer.clear()
    with pytest.raises(EhrTimedOut):
        real.tokens.token(real.tenant, timeout_s=0.05)

    real.tokens.forget(real.tenant, token)  # would wait for the endpoint, and so for ever

    real.server.may_answer.set()
    assert real.tokens.token(real.tenant, timeout_s=30.0) != token


def test_a_token_without_scope_or_life_has_what_was_asked_for_five_minutes(real: Real) -> None:
    real.server.token_answer = (200, b'{"access_token":"t","token_type":"bearer"}')

    token = real.tokens.token(real.tenant)

    assert token is not None and "system/ImagingStudy.rs" in token.scope
    assert 0 < token.expires_at - time.monotonic() <= 300


def test_a_token_does_not_print(real: Real) -> None:
    assert GOOD_TOKEN not in repr(real.tokens.token(real.tenant))
