"""The EHR launch against the sandbox's strict authorization server, over live HTTP."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from urllib.parse import quote

import pytest
import redis

from cds_service.adapters.vault import Vault
from cds_service.domain.audit import AuditAction
from cds_service.domain.smart_client import ClientKind
from cds_service.domain.tenant import Tenant
from cds_service.sandbox.parts import Sandbox
from cds_service.web.rate_limit import RateLimit
from tests.builders import a_result, a_tenant
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import PUBLIC_URL, Browser, House, listening, query_of, utc_now


def test_a_launch_ends_on_the_study_page_of_that_patient(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    house.keep(a_result())

    page = browser.get(browser.open(tenant.fhir_base, launch_of("p-1")))

    assert page.status_code == 200
    assert "Finch, Ada May" in page.text and "born 1 Jun 2022" in page.text
    assert "signs of pneumonia" in page.text and "2 Jan 2026" in page.text
    assert "not a medical device" in page.text.lower()


def test_a_launch_is_audited_with_the_user_and_the_patient(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    browser.open(tenant.fhir_base, launch_of("p-1"))

    event = house.audit.events[-1]
    assert (event.action, event.agent, event.patient_id) == (
        AuditAction.APP_LAUNCHED,
        "Practitioner/clinician",
        "p-1",
    )


@pytest.mark.requirement("@3", "@13", "@32", "@33", "@34", "@35", "@37", "@39", "@40", "@41")
@pytest.mark.requirement("@42", "@44", "@45", "@161", "@211", "@317")
def test_the_authorize_request_carries_what_smart_asks_for(
    browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    launch = launch_of()

    query = query_of(browser.to_authorize(tenant.fhir_base, launch))

    assert query["response_type"] == "code" and query["client_id"] == "sightline"
    assert query["redirect_uri"] == f"{PUBLIC_URL}/app/callback"
    assert query["aud"] == tenant.fhir_base and query["launch"] == launch
    assert query["code_challenge_method"] == "S256"
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", query["code_challenge"])
    assert len(query["state"].rpartition(".")[2]) >= 22  # 128 bits in base64url
    assert query["nonce"] and "max_age" not in query
    assert query["scope"].split() == [
        "launch",
        "openid",
        "fhirUser",
        "online_access",
        "patient/Patient.r",
        "patient/ImagingStudy.rs",
        "patient/Observation.rs",
        "patient/DiagnosticReport.rs",
        "user/Practitioner.r",
    ]


@pytest.mark.requirement("@2")
def test_no_two_launches_share_anything_that_protects_them(
    browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    queries = [query_of(browser.to_authorize(tenant.fhir_base, launch_of())) for _ in range(5)]

    for name in ("state", "nonce", "code_challenge"):
        assert len({query[name] for query in queries}) == 5


def test_the_cookie_is_tested_before_the_launch_is_spent(
    house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    without_cookies = house.app.test_client(use_cookies=False)
    query = {"iss": tenant.fhir_base, "launch": launch_of()}

    tested = without_cookies.get("/app/launch", query_string=query, base_url=PUBLIC_URL)
    page = without_cookies.get(tested.location, base_url=PUBLIC_URL)

    assert tested.status_code == 303 and "cookie=" in tested.location
    assert page.status_code == 200 and 'target="_blank"' in page.text
    assert "launch=" in page.text and "cookie=" not in page.text
    assert house.egress.visits == 0


def test_every_cookie_is_fit_for_a_frame_and_for_nothing_else(
    browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    query = {"iss": tenant.fhir_base, "launch": launch_of()}
    first = browser.client.get("/app/launch", query_string=query, base_url=PUBLIC_URL)
    last = browser.get(browser.to_callback(tenant.fhir_base, launch_of()))

    cookies = [*first.headers.getlist("Set-Cookie"), *last.headers.getlist("Set-Cookie")]

    assert len(cookies) == 3  # the launch's, its removal, the session's
    for cookie in cookies:
        assert cookie.startswith("__Host-sightline-")
        for attribute in ("Secure", "HttpOnly", "SameSite=None", "Partitioned", "Path=/"):
            assert attribute in cookie.split("; ")
        assert "Domain=" not in cookie


def test_an_unknown_issuer_gets_a_page_and_no_connection(house: House, browser: Browser) -> None:
    calls: list[str] = []

    def stranger(environ: dict[str, str], start: object) -> Iterator[bytes]:
        calls.append(environ["PATH_INFO"])
        raise AssertionError

    with listening(stranger) as port:
        answer = browser.client.get(
            "/app/launch",
            query_string={"iss": f"http://127.0.0.1:{port}/fhir", "launch": "x"},
            base_url=PUBLIC_URL,
        )

    assert answer.status_code == 400 and "not registered" in answer.text
    assert calls == [] and house.egress.visits == 0
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "change", [{"iss": None}, {"iss": ""}, {"launch": ""}, {"launch": None, "kind": "admin"}]
)
def test_a_launch_without_its_parameters_is_refused(
    browser: Browser, house: House, tenant: Tenant, change: dict[str, str | None]
) -> None:
    changed = {"iss": tenant.fhir_base, "launch": "x"} | change
    query = {name: value for name, value in changed.items() if value is not None}

    answer = browser.client.get("/app/launch", query_string=query, base_url=PUBLIC_URL)

    if answer.status_code == 303:
        answer = browser.get(answer.location)
    assert answer.status_code == 400 and "Go back to the patient" in answer.text
    assert house.egress.visits == 0


def test_an_ehr_without_a_client_id_says_that_it_has_cards_only(
    browser: Browser, house: House, tenant: Tenant
) -> None:
    house.tenants.remove(tenant.id)
    house.tenants.add(replace(tenant, client_id=None))

    answer = browser.client.get(
        "/app/launch",
        query_string={"iss": tenant.fhir_base, "launch": "x"},
        base_url=PUBLIC_URL,
    )

    assert answer.status_code == 400 and "cards only" in answer.text
    assert house.egress.visits == 0


@pytest.mark.requirement("@4", "@60")
def test_a_state_is_good_once(browser: Browser, tenant: Tenant, launch_of: LaunchOf) -> None:
    callback = browser.to_callback(tenant.fhir_base, launch_of())
    browser.get(callback)

    again = browser.get(callback)

    assert again.status_code == 400 and "already used" in again.text
    assert not again.headers.getlist("Set-Cookie")


@pytest.mark.requirement("@61")
def test_a_callback_in_another_browser_is_refused_and_ends_the_launch(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    callback = browser.to_callback(tenant.fhir_base, launch_of())

    elsewhere = house.browser().get(callback)
    here = browser.get(callback)

    assert elsewhere.status_code == 400 and "another browser" in elsewhere.text
    assert here.status_code == 400 and "already used" in here.text


def test_what_discovery_said_is_kept_for_two_minutes_and_per_registration(
    house: House, browser: Browser, tenant: Tenant, launch_of: LaunchOf, keyspace: redis.Redis
) -> None:
    browser.to_authorize(tenant.fhir_base, launch_of())
    visits = house.egress.visits
    browser.to_authorize(tenant.fhir_base, launch_of())
    assert house.egress.visits == visits

    (kept,) = keyspace.scan_iter("sightline:app:discovery:*")
    assert 60 <= keyspace.ttl(kept) <= 300
    house.tenants.remove(tenant.id)
    house.tenants.add(replace(tenant, client_kind=ClientKind.PUBLIC))
    browser.to_authorize(tenant.fhir_base, launch_of())

    assert house.egress.visits == visits + 1


def test_an_address_that_starts_sign_ins_without_end_is_told_to_wait(
    house: House, browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    limit = RateLimit(1, timer=lambda: 0.0)
    house.swap(count_sign_in=limit.take_from)
    callback = browser.to_callback(tenant.fhir_base, launch_of())
    visits = house.egress.visits

    launch = browser.get(f"/app/launch?iss={quote(tenant.fhir_base)}&launch=x")
    back = browser.get(callback)
    elsewhere = browser.get(callback, **{"X-Forwarded-For": "198.51.100.1, 192.0.2.7"})

    assert (launch.status_code, back.status_code) == (429, 429)
    assert launch.headers["Retry-After"] == "1" and "Sightline is not ready" in launch.text
    assert elsewhere.status_code == 303 and house.egress.visits > visits


@pytest.mark.parametrize(
    ("peer", "forwarded", "counted"),
    [
        ("127.0.0.1", "192.0.2.7", "192.0.2.7"),
        ("10.0.0.5", "192.0.2.1, 2001:db8::7", "2001:db8::7"),
        ("10.0.0.5", None, "10.0.0.5"),
        ("10.0.0.5", "unknown", "10.0.0.5"),
        ("9.9.9.9", "10.0.0.1", "9.9.9.9"),  # nobody chooses who they are
    ],
)
def test_who_is_counted_is_whom_our_own_proxy_saw(
    house: House, peer: str, forwarded: str | None, counted: str
) -> None:
    seen: list[str] = []
    house.swap(count_sign_in=seen.append)
    headers = {} if forwarded is None else {"X-Forwarded-For": forwarded}

    client = house.app.test_client()
    client.get("/app/launch", headers=headers, environ_overrides={"REMOTE_ADDR": peer})

    assert seen == [counted]


def test_an_answer_from_another_issuer_is_a_mix_up(
    browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    callback = browser.to_callback(tenant.fhir_base, launch_of())
    issuer = query_of(callback)["iss"]

    answer = browser.get(callback.replace(quote(issuer, safe=""), "https%3A%2F%2Fx"))

    assert answer.status_code == 400 and "Another sign-in server" in answer.text


@pytest.mark.parametrize("ending", ["code=c", "error=access_denied"])
def test_an_answer_without_the_issuer_that_the_server_promises_is_refused(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf, ending: str
) -> None:
    """RFC 9207 2.4: leaving it out is what an attacker of a mix-up would do."""
    state = query_of(browser.to_authorize(tenant.fhir_base, launch_of()))["state"]
    visits = house.egress.visits

    answer = browser.get(f"/app/callback?state={state}&{ending}")

    assert answer.status_code == 400 and "Another sign-in server" in answer.text
    assert house.egress.visits == visits


def test_a_server_that_promises_no_issuer_may_leave_it_out(
    browser: Browser, tenant: Tenant, launch_of: LaunchOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smart_app.discovery.NAMES_ITSELF", "promised_by_nobody")
    callback = browser.to_callback(tenant.fhir_base, launch_of())
    silent = re.sub(r"[?&]iss=[^&]+", "", callback)

    assert silent != callback and browser.get(silent).status_code == 303


def test_a_refusal_of_the_ehr_is_said_in_our_words(
    browser: Browser, tenant: Tenant, launch_of: LaunchOf, sandbox: Sandbox
) -> None:
    state = query_of(browser.to_authorize(tenant.fhir_base, launch_of()))["state"]

    answer = browser.get(
        f"/app/callback?iss={sandbox.config.auth_base}&state={state}&error=access_denied"
        "&error_description=Call+0900-1234"
    )

    assert answer.status_code == 400 and "did not allow this app" in answer.text
    assert "0900" not in answer.text


def test_a_wrong_code_is_refused_with_a_page(
    browser: Browser, tenant: Tenant, launch_of: LaunchOf, sandbox: Sandbox
) -> None:
    state = query_of(browser.to_authorize(tenant.fhir_base, launch_of()))["state"]

    answer = browser.get(f"/app/callback?iss={sandbox.config.auth_base}&state={state}&code=guessed")

    assert answer.status_code == 400 and "did not complete the sign-in" in answer.text


def test_an_ehr_that_is_away_is_named_as_the_cause(browser: Browser, house: House) -> None:
    gone = a_tenant(id="t-2", name="Gone", fhir_base="http://127.0.0.1:9/fhir", hook_issuer="x")
    house.tenants.add(gone)
    query = {"iss": gone.fhir_base, "launch": "x"}
    tested = browser.client.get("/app/launch", query_string=query, base_url=PUBLIC_URL)

    answer = browser.get(tested.location)

    assert answer.status_code == 502 and "The EHR could not be reached" in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.requirement("@7", "@8", "@9", "@90")
def test_tokens_are_neither_in_redis_nor_in_any_answer(
    browser: Browser,
    house: House,
    tenant: Tenant,
    launch_of: LaunchOf,
    keyspace: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sealed: list[bytes] = []
    seal = Vault.seal
    monkeypatch.setattr(
        Vault,
        "seal",
        lambda self, purpose, tenant_id, plain: (
            sealed.append(plain) or seal(self, purpose, tenant_id, plain)  # type: ignore[func-returns-value]
        ),
    )
    house.keep(a_result())

    page = browser.open(tenant.fhir_base, launch_of())
    answers = [browser.get(page), browser.get(f"{page}status"), browser.get(f"{page}panel")]

    token = re.search(rb'"access_token": "([^"]+)", "refresh_token": "([^"]+)"', sealed[-1])
    assert token is not None and all(len(secret) > 20 for secret in token.groups())
    for key in keyspace.scan_iter():
        stored = keyspace.get(key)
        assert isinstance(stored, bytes)
        assert not any(secret in stored for secret in token.groups())
        assert b"p-1" not in stored and b"p-1" not in key
        assert 0 < keyspace.ttl(key) <= 3600 + 900
    for answer in answers:
        for secret in token.groups():
            assert secret not in answer.data and secret.decode() not in str(answer.headers)


def test_a_session_ends_in_the_frame_that_it_was_opened_in(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    page = browser.open(tenant.fhir_base, launch_of())
    house.now = lambda: utc_now() + timedelta(hours=8, seconds=1)

    answer = browser.get(page)

    assert answer.status_code == 401 and "session has ended" in answer.text
    assert tenant.origins[0] in answer.headers["Content-Security-Policy"]


def test_two_charts_side_by_side_never_mix(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    house.keep(
        a_result(),
        a_result(id="r-2", key="k-2", patient_id="p-2", study_uid="1.2.840.99999.2"),
    )
    first_back = browser.to_callback(tenant.fhir_base, launch_of("p-1"))
    second_back = browser.to_callback(tenant.fhir_base, launch_of("p-2"))

    second, first = browser.get(second_back).location, browser.get(first_back).location

    assert "Finch" in browser.get(first).text and "Sparrow" not in browser.get(first).text
    assert "Sparrow" in browser.get(second).text and "Finch" not in browser.get(second).text


def test_an_address_that_is_copied_to_another_browser_opens_nothing(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    page = browser.open(tenant.fhir_base, launch_of())

    answer = house.browser().get(page)

    assert answer.status_code == 401 and "Finch" not in answer.text


def test_redis_away_is_a_calm_page(browser: Browser, house: House, tenant: Tenant) -> None:
    house.swap(redis=redis.Redis(port=9, socket_connect_timeout=0.05))
    query = {"iss": tenant.fhir_base, "launch": "x"}
    tested = browser.client.get("/app/launch", query_string=query, base_url=PUBLIC_URL)

    answer = browser.get(tested.location)

    assert answer.status_code == 503 and "cannot keep a session" in answer.text


@pytest.mark.requirement("@299", "@302", "@303")
def test_the_public_keys_are_published_without_the_private_half(browser: Browser) -> None:
    answer = browser.get("/app/.well-known/jwks.json")

    keys = answer.json["keys"]  # type: ignore[index]
    assert {key["kty"] for key in keys} == {"EC", "RSA"} and not any("d" in key for key in keys)
    assert answer.headers["Cache-Control"] == "public, max-age=300"
