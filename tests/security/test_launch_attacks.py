"""What an attacker tries at the app's sign-in: nothing is called, opened or revealed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

import pytest
import redis
from flask import Flask, jsonify, request

from cds_service.domain.tenant import Tenant
from cds_service.sandbox.parts import Sandbox
from tests.builders import a_result, a_study, a_tenant
from tests.web_app.conftest import LaunchOf
from tests.web_app.house import PUBLIC_URL, Browser, House, listening, query_of

# --- an issuer that is not registered (T5) ---------------------------------------------------


@contextmanager
def a_listening_stranger() -> Iterator[tuple[str, list[str]]]:
    """Somebody else's server; yields its address and what was asked of it."""
    calls: list[str] = []

    def stranger(environ: dict[str, Any], start: Callable[..., Any]) -> list[bytes]:
        calls.append(environ["PATH_INFO"])
        start("500 No", [])
        return [b""]

    with listening(stranger) as port:
        yield f"http://127.0.0.1:{port}/fhir", calls


@pytest.mark.parametrize("kind", ["launch", "kind"])
def test_a_foreign_issuer_is_not_called(house: House, browser: Browser, kind: str) -> None:
    with a_listening_stranger() as (iss, calls):
        answer = browser.get(f"/app/launch?{urlencode({'iss': iss, kind: 'user'})}")

    assert answer.status_code == 400 and "not registered" in answer.text
    assert calls == [] and house.egress.visits == 0 and not answer.headers.getlist("Set-Cookie")


@pytest.mark.parametrize(
    "disguise",
    [
        "{base}.evil.example.org",
        "{base}/../evil",
        "{base}/Patient",
        "{base}?x=1",
        "{base}#x",
        "{base}//",
        " {base}",
        "{base}\t",
        "{upper}",
        "http://evil@{rest}",
    ],
)
def test_an_issuer_that_only_looks_like_a_registered_one_is_not_called(
    house: House, browser: Browser, tenant: Tenant, disguise: str
) -> None:
    base = tenant.fhir_base
    iss = disguise.format(base=base, upper=base.upper(), rest=base.removeprefix("http://"))

    answer = browser.get(f"/app/launch?{urlencode({'iss': iss, 'launch': 'x'})}")

    assert answer.status_code == 400 and house.egress.visits == 0


# --- what the EHR's own documents could be made to say ----------------------------------------


@contextmanager
def an_ehr(house: House, **changes: Any) -> Iterator[tuple[Tenant, list[str]]]:
    """Register an EHR whose SMART configuration says this; yields it and the calls to it."""
    site, calls = Flask("ehr"), []
    origin = ""

    @site.before_request
    def note() -> None:
        calls.append(request.path)

    @site.get("/fhir/.well-known/smart-configuration")
    def configuration() -> Any:
        document = {
            "issuer": f"{origin}/auth",
            "authorization_endpoint": f"{origin}/auth/authorize",
            "token_endpoint": f"{origin}/auth/token",
            "jwks_uri": f"{origin}/auth/jwks",
            "code_challenge_methods_supported": ["S256"],
            "capabilities": ["launch-ehr"],
        } | changes
        return jsonify({name: value for name, value in document.items() if value is not None})

    @site.post("/auth/token")
    def token() -> Any:
        return jsonify(access_token="t", token_type="Bearer", id_token="a.b.c", patient="p-1")

    with listening(site) as port:
        origin = f"http://localhost:{port}"
        tenant = a_tenant(
            id="t-9", name="Other", fhir_base=f"{origin}/fhir", hook_issuer=f"{origin}/x"
        )
        house.tenants.add(tenant)
        yield tenant, calls


@pytest.mark.requirement("@13")
@pytest.mark.parametrize("methods", [None, [], ["plain"], "S256"])
def test_a_server_without_s256_is_left_before_the_user_sees_it(
    house: House, browser: Browser, keyspace: redis.Redis, methods: object
) -> None:
    with an_ehr(house, code_challenge_methods_supported=methods) as (tenant, calls):
        tested = browser.get(f"/app/launch?{urlencode({'iss': tenant.fhir_base, 'launch': 'x'})}")
        answer = browser.get(tested.location)

    assert answer.status_code == 400 and "PKCE" in answer.text
    assert calls == ["/fhir/.well-known/smart-configuration"] and keyspace.dbsize() == 0


@pytest.mark.requirement("@1")
@pytest.mark.parametrize("name", ["token_endpoint", "jwks_uri"])
def test_a_code_and_its_secrets_go_to_no_address_that_is_not_the_ehr_s(
    house: House, browser: Browser, name: str
) -> None:
    with (
        a_listening_stranger() as (elsewhere, calls),
        an_ehr(house, **{name: f"{elsewhere}/{name}"}) as (tenant, asked),
    ):
        address = browser.handed_over({"iss": tenant.fhir_base, "launch": "x"})
        state = query_of(address)["state"]
        answer = browser.get(f"/app/callback?{urlencode({'state': state, 'code': 'c'})}")

    assert answer.status_code == 502 and "registration allows" in answer.text and calls == []
    assert ("/auth/token" in asked) is (name == "jwks_uri")


# --- the way back ------------------------------------------------------------------------------


@pytest.mark.requirement("@4", "@60")
@pytest.mark.parametrize("state", ["", "guessed", "t-1.guessed", "t-1.", "." * 300, "é"])
def test_a_state_that_nobody_was_given_opens_nothing(
    browser: Browser, house: House, state: str
) -> None:
    answer = browser.get(f"/app/callback?{urlencode({'state': state, 'code': 'c'})}")

    assert answer.status_code == 400 and house.egress.visits == 0


@pytest.mark.requirement("@4", "@60")
@pytest.mark.parametrize("ending", ["code=c", "error=access_denied", ""])
def test_a_state_is_spent_however_its_launch_ended(
    browser: Browser,
    house: House,
    tenant: Tenant,
    launch_of: LaunchOf,
    sandbox: Sandbox,
    ending: str,
) -> None:
    state = query_of(browser.to_authorize(tenant.fhir_base, launch_of()))["state"]
    browser.get(f"/app/callback?iss={sandbox.config.auth_base}&state={state}&{ending}")
    visits = house.egress.visits

    again = browser.get(f"/app/callback?state={state}&code=c")

    assert again.status_code == 400 and "already used" in again.text
    assert house.egress.visits == visits


@pytest.mark.requirement("@39", "@61")
def test_an_attacker_s_sign_in_does_not_open_in_the_victim_s_browser(
    house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    attacker, victim = house.browser(), house.browser()
    victim.to_authorize(tenant.fhir_base, launch_of("p-2"))  # has cookies of its own
    visits = house.egress.visits

    answer = victim.get(attacker.to_callback(tenant.fhir_base, launch_of("p-1")))

    assert answer.status_code == 400 and "another browser" in answer.text
    assert house.egress.visits == visits  # no code redeemed


def test_a_code_of_another_launch_does_not_fit_this_one_s_verifier(
    house: House, tenant: Tenant, launch_of: LaunchOf, sandbox: Sandbox
) -> None:
    attacker, victim = house.browser(), house.browser()
    stolen = query_of(attacker.to_callback(tenant.fhir_base, launch_of("p-1")))["code"]
    state = query_of(victim.to_authorize(tenant.fhir_base, launch_of("p-2")))["state"]

    issuer = sandbox.config.auth_base
    answer = victim.get(f"/app/callback?iss={issuer}&state={state}&code={stolen}")

    assert answer.status_code == 400 and "did not complete the sign-in" in answer.text
    assert "Finch" not in answer.text


@pytest.mark.parametrize("ending", ["code", "error"])
def test_an_answer_of_another_issuer_is_refused_whatever_it_says(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf, ending: str
) -> None:
    callback = query_of(browser.to_callback(tenant.fhir_base, launch_of()))
    visits = house.egress.visits
    mixed = {"state": callback["state"], "iss": "https://evil.example.org", ending: "c"}

    answer = browser.get(f"/app/callback?{urlencode(mixed)}")

    assert answer.status_code == 400 and "Another sign-in server" in answer.text
    assert house.egress.visits == visits


@pytest.mark.requirement("@5", "@6")
def test_nothing_in_the_answer_sends_the_browser_elsewhere_or_runs(
    browser: Browser, tenant: Tenant, launch_of: LaunchOf
) -> None:
    callback = browser.to_callback(tenant.fhir_base, launch_of())
    evil = quote("https://evil.example.org/<script>alert(1)</script>", safe="")

    opened = browser.get(f"{callback}&redirect_uri={evil}&next={evil}&url={evil}")
    refused = browser.get(f"/app/callback?state={evil}&error={evil}&error_description={evil}")

    assert opened.status_code == 303 and opened.location.startswith("/app/l/")
    assert refused.status_code == 400 and "<script>" not in refused.text
    assert "default-src 'self'" in refused.headers["Content-Security-Policy"]


# --- an open session ----------------------------------------------------------------------------


PATHS = ("", "panel", "status", "r/r-1/233604007/picture", "style.css")


def opened(browser: Browser, tenant: Tenant, launch: str) -> str:
    return browser.open(tenant.fhir_base, launch)


def with_cookies(house: House, address: str, pairs: dict[str, str]) -> Any:
    header = "; ".join(f"{name}={value}" for name, value in pairs.items())
    client = house.app.test_client(use_cookies=False)
    return client.get(address, base_url=PUBLIC_URL, headers={"Cookie": header})


def cookies_of(browser: Browser) -> dict[str, str]:
    found = {one.key: one.value for one in (browser.client._cookies or {}).values()}
    assert found
    return found


def test_a_session_s_cookie_opens_no_other_session(
    house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    house.keep(a_result())
    mine, theirs = house.browser(), house.browser()
    my_page = opened(mine, tenant, launch_of("p-2"))
    their_page = opened(theirs, tenant, launch_of("p-1"))
    (my_secret,) = cookies_of(mine).values()
    (their_name,) = cookies_of(theirs)

    for path in PATHS:
        for pairs in (cookies_of(mine), {their_name: my_secret}, {their_name: ""}):
            answer = with_cookies(house, f"{their_page}{path}", pairs)
            assert answer.status_code == 401 and "Finch" not in answer.text
    assert with_cookies(house, my_page, cookies_of(mine)).status_code == 200


def test_a_handle_under_another_ehr_s_name_opens_nothing(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    house.tenants.add(
        replace(
            tenant,
            id="t-2",
            name="Other",
            fhir_base="https://o.example.org",
            hook_issuer="https://o.example.org",
        )
    )
    page = opened(browser, tenant, launch_of("p-1"))

    answer = browser.get(page.replace("/t-1.", "/t-2."))

    assert answer.status_code == 401


def test_an_ehr_that_is_registered_no_more_ends_its_sessions(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    page = opened(browser, tenant, launch_of("p-1"))
    house.tenants.remove(tenant.id)

    assert browser.get(page).status_code == 401


# --- ids of others (T9) -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "owner", [{"patient_id": "p-2"}, {"tenant_id": "t-2"}], ids=["another patient", "another EHR"]
)
def test_what_belongs_to_others_looks_like_what_does_not_exist(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf, owner: dict[str, str]
) -> None:
    house.keep(a_result(id="r-other", key="k-2", study_uid="1.2.840.99999.2", **owner))
    study = a_study(study_uid="1.2.840.99999.2", **owner)
    job, _ = house.jobs.open("d-2", study, None, "cxr_pneumonia_peds")  # type: ignore[arg-type]
    page = opened(browser, tenant, launch_of("p-1"))

    def asked(result: str, job: str) -> list[tuple[int, str]]:
        paths = [
            f"?result={result}",
            f"?job={job}",
            f"status?job={job}",
            f"panel?result={result}",
            *(f"r/{result}/233604007/{part}" for part in ("picture", "heatmap", "outline")),
        ]
        answers = [browser.get(f"{page}{path}") for path in paths]
        return [(answer.status_code, answer.text) for answer in answers]

    assert asked("r-other", job.id) == asked("r-none", "j-none")
    assert {status for status, _ in asked("r-other", job.id)} == {404}


def test_the_ehr_s_own_context_opens_no_study_of_another_patient(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf
) -> None:
    house.keep(a_result(id="r-other", patient_id="p-2", study_uid="1.2.840.99999.2"))

    for launch in (
        launch_of("p-1", imaging_study="s-2"),
        launch_of("p-1", result="r-other"),
        launch_of("p-1", study="1.2.840.99999.2"),
    ):
        answer = browser.get(opened(browser, tenant, launch))
        assert answer.status_code == 404 and "Sparrow" not in answer.text


def test_a_verdict_needs_the_token_of_its_own_chart(
    browser: Browser, house: House, tenant: Tenant, launch_of: LaunchOf, sandbox: Sandbox
) -> None:
    house.keep(a_result())
    page = opened(browser, tenant, launch_of("p-1"))

    answer = browser.post(f"{page}r/r-1/233604007/review", verdict="agree", csrf_token="guess")

    assert answer.status_code == 403 and house.reviews.all == []
