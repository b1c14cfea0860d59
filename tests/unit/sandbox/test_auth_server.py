"""The SMART authorization server, flow by flow and refusal by refusal."""

import base64
import json
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pytest
from flask import Flask, jsonify, redirect
from flask.testing import FlaskClient
from joserfc import jws, jwt
from joserfc.jwk import ECKey, KeySet, RSAKey
from werkzeug.serving import make_server

from cds_service.sandbox.client_assertion import ASSERTION_TYPE
from cds_service.sandbox.clients import Client
from cds_service.sandbox.parts import Sandbox
from tests.unit.sandbox.clients import (
    ORIGIN,
    REDIRECT,
    VERIFIER,
    App,
    Clock,
    answer_of,
    bearer,
)


def test_a_launch_ends_in_a_token_that_reads_the_patient(app: App, http: FlaskClient) -> None:
    study = [{"reference": "ImagingStudy/study-p1"}]
    launch = app.launch("p1", encounter="e1", fhir_context=study, app_context="finding-7")

    answer = answer_of(app.authorize(launch=launch))
    response = app.redeem(answer["code"])
    token = response.get_json()
    patient = http.get("/fhir/Patient/p1", headers=bearer(response))

    assert answer["state"] == "state-1" and answer["iss"] == f"{ORIGIN}/auth"
    assert token["token_type"] == "Bearer" and token["expires_in"] == 3600
    assert token["scope"] == "launch openid fhirUser patient/Patient.rs"
    assert (token["patient"], token["encounter"]) == ("p1", "e1")
    assert token["fhirContext"] == study and token["appContext"] == "finding-7"
    assert token["need_patient_banner"] is True and "refresh_token" not in token
    assert patient.status_code == 200 and patient.get_json(force=True)["id"] == "p1"


def test_the_id_token_verifies_with_the_published_keys(app: App, http: FlaskClient) -> None:
    keys = KeySet.import_key_set(http.get("/auth/jwks.json").get_json())

    id_token = app.redeem(app.code()).get_json()["id_token"]
    decoded = jwt.decode(id_token, keys, algorithms=["RS256"])

    assert decoded.header["alg"] == "RS256"
    assert (
        decoded.claims["iss"]
        == http.get("/auth/.well-known/openid-configuration").get_json()["issuer"]
    )
    assert decoded.claims["aud"] == "app" and decoded.claims["nonce"] == "nonce-1"
    assert decoded.claims["fhirUser"] == f"{ORIGIN}/fhir/Practitioner/clinician"
    assert decoded.claims["exp"] > decoded.claims["iat"]


def test_published_keys_have_no_private_member(http: FlaskClient) -> None:
    keys = http.get("/auth/jwks.json").get_json()["keys"]

    assert {key["alg"] for key in keys} == {"ES384", "RS256"}
    assert all(not set(key) & {"d", "p", "q", "dp", "dq", "qi"} for key in keys)


def test_backend_services_get_a_short_token_for_system_scopes(app: App, http: FlaskClient) -> None:
    response = app.token(grant_type="client_credentials", scope="system/Patient.rs launch")
    token = response.get_json()

    assert token["scope"] == "system/Patient.rs" and token["expires_in"] == 300
    assert "refresh_token" not in token and response.headers["Cache-Control"] == "no-store"
    assert http.get("/fhir/Patient/p2", headers=bearer(response)).status_code == 200


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"aud": f"{ORIGIN}/other"}, "invalid_request"),
        ({"aud": None}, "invalid_request"),
        ({"state": None}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"launch": "never-issued"}, "invalid_request"),
        ({"scope": "openid"}, "invalid_scope"),
        ({"scope": "launch/nothing"}, "invalid_scope"),
    ],
)
def test_a_wrong_authorization_request_goes_back_with_its_error(
    app: App, change: dict[str, Any], error: str
) -> None:
    answer = answer_of(app.authorize(**change))

    assert answer["error"] == error and "code" not in answer
    assert answer.get("state") == (None if "state" in change else "state-1")


@pytest.mark.parametrize("change", [{"client_id": "nobody"}, {"redirect_uri": REDIRECT + "/x"}])
def test_an_unknown_client_or_redirect_is_shown_and_never_followed(
    app: App, change: dict[str, str]
) -> None:
    response = app.authorize(**change)

    assert response.status_code == 400 and "Location" not in response.headers
    assert response.mimetype == "text/html" and b"This app was not opened" in response.data


def test_a_launch_is_good_once(app: App) -> None:
    launch = app.launch()

    first, second = app.authorize(launch=launch), app.authorize(launch=launch)

    assert "code" in answer_of(first) and answer_of(second)["error"] == "invalid_request"


def test_a_launch_of_another_client_is_refused_and_still_good_for_its_own(app: App) -> None:
    app.parts.authorization.register_client("other", app.jwks(), [REDIRECT], "launch openid")
    launch = app.launch()

    stolen = app.authorize(client_id="other", launch=launch)

    assert answer_of(stolen)["error"] == "invalid_request"
    assert "code" in answer_of(app.authorize(launch=launch))


def test_a_launch_is_forgotten_after_five_minutes(app: App, clock: Clock) -> None:
    launch = app.launch()

    clock.forward(minutes=5)

    assert answer_of(app.authorize(launch=launch))["error"] == "invalid_request"


def test_authorize_takes_a_form_as_well(app: App) -> None:
    form = app.authorize_params(launch=app.launch())

    assert "code" in answer_of(app.http.post("/auth/authorize", data=form))


def test_a_repeated_parameter_is_refused(app: App) -> None:
    params = [*app.authorize_params(launch=app.launch()).items(), ("scope", "openid")]

    assert app.http.get("/auth/authorize", query_string=params).status_code == 400


def test_a_code_is_good_once_and_its_reuse_ends_its_tokens(app: App, http: FlaskClient) -> None:
    code = app.code()
    headers = bearer(app.redeem(code))

    again = app.redeem(code)

    assert again.status_code == 400 and again.get_json()["error"] == "invalid_grant"
    assert http.get("/fhir/Patient/p1", headers=headers).status_code == 401


def test_a_code_lives_for_sixty_seconds(app: App, clock: Clock) -> None:
    kept, late = app.code(), app.code()

    clock.forward(seconds=59)
    in_time = app.redeem(kept)
    clock.forward(seconds=1)

    assert in_time.status_code == 200 and app.redeem(late).get_json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "change",
    [{"code_verifier": "w" * 64}, {"code_verifier": ""}, {"redirect_uri": REDIRECT + "/"}],
)
def test_a_code_needs_its_verifier_and_its_redirect_uri(app: App, change: dict[str, str]) -> None:
    response = app.redeem(app.code(), **change)

    assert response.status_code == 400 and response.get_json()["error"] == "invalid_grant"


def test_a_code_of_another_client_is_refused(app: App, http: FlaskClient, clock: Clock) -> None:
    code = app.code()
    app.parts.authorization.register_client("other", app.jwks(), [REDIRECT], "launch openid")
    other = App(app.parts, http, clock, app.key, "other")

    assert other.redeem(code).get_json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "other"},
        {"sub": "nobody"},
        {"aud": f"{ORIGIN}/auth"},
        {"aud": None},
        {"exp": None},
        {"exp": "soon"},
        {"jti": None},
        {"jti": 7},
    ],
)
def test_an_assertion_with_a_wrong_claim_is_refused(app: App, change: dict[str, Any]) -> None:
    response = app.redeem(app.code(), assertion=app.assertion(**change))

    assert response.status_code == 401 and response.get_json()["error"] == "invalid_client"


@pytest.mark.parametrize("seconds", [0, -1, 301])
def test_an_assertion_must_expire_within_five_minutes(app: App, seconds: int) -> None:
    expires = int(app.clock().timestamp()) + seconds

    response = app.redeem(app.code(), assertion=app.assertion(exp=expires))

    assert response.get_json()["error"] == "invalid_client"


def test_a_replayed_jti_is_refused(app: App) -> None:
    assertion = app.assertion()
    first = app.token(
        grant_type="client_credentials", scope="system/Patient.r", assertion=assertion
    )
    second = app.token(
        grant_type="client_credentials", scope="system/Patient.r", assertion=assertion
    )

    assert first.status_code == 200
    assert second.status_code == 401 and "before" in second.get_json()["error_description"]


@pytest.mark.parametrize("header", [{"kid": "other"}, {"typ": "at+jwt"}, {"jku": "http://evil/"}])
def test_an_assertion_with_a_wrong_header_is_refused(app: App, header: dict[str, str]) -> None:
    response = app.redeem(app.code(), assertion=app.assertion(header=header))

    assert response.get_json()["error"] == "invalid_client"


def test_an_assertion_signed_by_another_key_is_refused(app: App) -> None:
    known = app.key
    app.key = ECKey.generate_key("P-384", {"alg": "ES384", "kid": str(known.kid)})

    assert app.redeem(app.code()).get_json()["error"] == "invalid_client"


def test_an_assertion_in_rs384_is_taken_and_in_rs256_refused(app: App) -> None:
    answers = []
    for alg in ("RS384", "RS256"):
        app.key = RSAKey.generate_key(2048, {"use": "sig", "alg": alg}, auto_kid=True)
        app.parts.authorization.register_client("app", app.jwks(), [REDIRECT], "system/Patient.r")
        answers.append(app.token(grant_type="client_credentials", scope="system/Patient.r"))

    assert [answer.status_code for answer in answers] == [200, 401]


def test_the_token_endpoint_reads_forms_only(app: App, http: FlaskClient) -> None:
    response = http.post("/auth/token", json={"grant_type": "client_credentials"})

    assert response.status_code == 400 and response.get_json()["error"] == "invalid_request"
    assert http.get("/auth/token").status_code == 405


def test_an_unknown_grant_type_is_refused(app: App) -> None:
    assert app.token(grant_type="password").get_json()["error"] == "unsupported_grant_type"


def test_a_client_gets_no_scope_beyond_its_registration(
    parts: Sandbox, http: FlaskClient, clock: Clock
) -> None:
    app = App.registered(parts, http, clock, scopes="launch patient/Observation.rs")
    asked = "launch openid patient/Observation.cruds patient/Patient.r system/Observation.r"

    token = app.redeem(app.code(scope=asked)).get_json()

    assert token["scope"] == "launch patient/Observation.rs" and "id_token" not in token


def test_online_access_brings_a_refresh_token_that_is_good_once(
    app: App, http: FlaskClient
) -> None:
    code = app.code(scope="launch online_access patient/Patient.rs patient/Observation.rs")
    old = app.redeem(code).get_json()["refresh_token"]

    fresh = app.token(grant_type="refresh_token", refresh_token=old, scope="patient/Patient.rs")
    headers = bearer(fresh)
    narrow = http.get("/fhir/Observation?patient=p1", headers=headers)
    reused = app.token(grant_type="refresh_token", refresh_token=old)

    assert fresh.get_json()["patient"] == "p1" and fresh.get_json()["refresh_token"] != old
    assert narrow.status_code == 403
    assert reused.get_json()["error"] == "invalid_grant"
    assert http.get("/fhir/Patient/p1", headers=headers).status_code == 401


def test_a_refresh_cannot_widen_the_scope(app: App) -> None:
    code = app.code(scope="launch online_access patient/Patient.rs")
    old = app.redeem(code).get_json()["refresh_token"]

    response = app.token(grant_type="refresh_token", refresh_token=old, scope="system/Patient.rs")

    assert response.get_json()["error"] == "invalid_scope"


def test_a_standalone_launch_shows_a_patient_picker_whose_choice_is_a_launch(app: App) -> None:
    params = app.authorize_params(scope="launch/patient patient/Patient.rs")
    page = app.http.get("/auth/authorize", query_string=params)
    assert page.status_code == 200 and "P2 Example" in page.text

    chosen = page.text.split("P2 Example")[1].split('name="launch" value="')[1].split('"')[0]
    answer = answer_of(app.http.post("/auth/authorize", data={**params, "launch": chosen}))

    assert app.redeem(answer["code"]).get_json()["patient"] == "p2"


def test_a_standalone_launch_without_a_patient_goes_straight_back(app: App) -> None:
    code = app.code(scope="openid user/Practitioner.rs", launch=None)

    token = app.redeem(code).get_json()

    assert "patient" not in token and token["scope"] == "openid user/Practitioner.rs"


def test_introspection_tells_what_a_token_stands_for(app: App, http: FlaskClient) -> None:
    headers = app.launched("patient/Patient.rs")
    token = headers["Authorization"].removeprefix("Bearer ")

    by_holder = http.post("/auth/introspect", data={"token": token}, headers=headers).get_json()
    form = {
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": app.assertion(),
    }
    by_client = http.post("/auth/introspect", data={"token": token, **form}).get_json()
    unknown = http.post(
        "/auth/introspect", data={"token": "x", **form | {"client_assertion": app.assertion()}}
    )

    assert by_holder == by_client and by_holder["active"] is True
    assert by_holder["scope"] == "launch patient/Patient.rs" and by_holder["client_id"] == "app"
    assert by_holder["patient"] == "p1" and by_holder["exp"] - by_holder["iat"] == 3600
    assert unknown.get_json() == {"active": False}


def test_introspection_needs_a_client_or_a_token_in_force(app: App, http: FlaskClient) -> None:
    nobody = http.post("/auth/introspect", data={"token": "x"})
    stale = http.post(
        "/auth/introspect", data={"token": "x"}, headers={"Authorization": "Bearer y"}
    )

    assert (nobody.status_code, stale.status_code) == (401, 401)


def test_discovery_promises_s256_and_authentication_by_secret_or_signature(
    http: FlaskClient,
) -> None:
    document = http.get("/fhir/.well-known/smart-configuration").get_json()

    assert document["code_challenge_methods_supported"] == ["S256"]
    assert document["token_endpoint_auth_methods_supported"] == [
        "client_secret_basic",
        "private_key_jwt",
    ]
    assert document["issuer"] == f"{ORIGIN}/auth"
    assert {"launch-ehr", "launch-standalone", "permission-v2"} <= set(document["capabilities"])


def test_the_hook_jwt_is_es384_and_names_the_published_keys(
    parts: Sandbox, http: FlaskClient
) -> None:
    keys = KeySet.import_key_set(http.get("/auth/jwks.json").get_json())
    service = "http://127.0.0.1:8000/cds-services/imaging-ai-findings"

    first, second = (parts.authorization.sign_hook_jwt(service) for _ in range(2))
    decoded = jwt.decode(first, keys, algorithms=["ES384"])

    assert decoded.header["typ"] == "JWT" and decoded.header["jku"] == f"{ORIGIN}/auth/jwks.json"
    assert decoded.claims["iss"] == f"{ORIGIN}/fhir" and decoded.claims["aud"] == service
    assert decoded.claims["exp"] - decoded.claims["iat"] == 300
    assert decoded.claims["jti"] != jwt.decode(second, keys, algorithms=["ES384"]).claims["jti"]


def test_the_hook_token_reads_its_patient_and_no_other(parts: Sandbox, http: FlaskClient) -> None:
    granted = parts.authorization.issue_hook_token("p1")
    headers = {"Authorization": f"Bearer {granted['access_token']}"}

    assert granted["expires_in"] == 300 and granted["subject"] == "sightline"
    assert (
        http.get("/fhir/ImagingStudy?patient=p1", headers=headers).get_json(force=True)["total"]
        == 1
    )
    assert http.get("/fhir/Patient/p2", headers=headers).status_code == 403


def test_a_clients_keys_are_fetched_at_first_need_and_again_for_a_new_kid(app: App) -> None:
    with served_keys(app) as (url, requests_seen):
        app.parts.authorization.register_client("app", url, [REDIRECT], "system/Patient.r")
        wanted = {"grant_type": "client_credentials", "scope": "system/Patient.r"}

        first, second = app.token(**wanted), app.token(**wanted)
        unknown = app.token(**wanted, assertion=app.assertion(header={"kid": "guess"}))

    assert (first.status_code, second.status_code, unknown.status_code) == (200, 200, 401)
    assert requests_seen == ["/jwks.json"]  # the guess came too soon for a second look


@pytest.mark.parametrize("assertion", ["", "a.b.c", "eyJhbGciOiJFUzM4NCJ9.W10.x", "é"])
def test_an_assertion_that_is_no_jwt_is_refused(app: App, assertion: str) -> None:
    form = {"client_assertion_type": ASSERTION_TYPE, "client_assertion": assertion}

    response = app.http.post("/auth/token", data={"grant_type": "client_credentials", **form})

    assert response.status_code == 401 and response.get_json()["error"] == "invalid_client"


@pytest.mark.parametrize("change", [{"client_assertion_type": "password"}, {"client_id": "other"}])
def test_a_form_that_contradicts_its_assertion_is_refused(app: App, change: dict[str, str]) -> None:
    response = app.token(grant_type="client_credentials", scope="system/Patient.r", **change)

    assert response.get_json()["error"] == "invalid_client"


def test_a_key_url_that_redirects_or_fails_gives_no_keys(app: App) -> None:
    with served_keys(app) as (url, _):
        for path in ("/moved", "/nothing-here", "/text"):
            moved = url.replace("/jwks.json", path)
            app.parts.authorization.register_client("app", moved, [REDIRECT], "system/Patient.r")

            response = app.token(grant_type="client_credentials", scope="system/Patient.r")

            assert response.get_json()["error"] == "invalid_client"


def test_a_client_whose_keys_cannot_be_fetched_is_refused(app: App) -> None:
    app.parts.authorization.register_client("app", "http://127.0.0.1:9/", [REDIRECT], "system/*.r")

    response = app.token(grant_type="client_credentials", scope="system/Patient.r")

    assert response.status_code == 401 and response.get_json()["error"] == "invalid_client"


def test_nothing_of_the_token_endpoint_may_be_cached(app: App) -> None:
    response = app.redeem(app.code(), code_verifier=VERIFIER)

    assert response.headers["Cache-Control"] == "no-store"
    assert json.loads(response.data)["access_token"] not in str(response.headers)


@contextmanager
def served_keys(app: App) -> Iterator[tuple[str, list[str]]]:
    """Serve the app's public keys on loopback; yields their URL and the paths asked for."""
    seen: list[str] = []
    site = Flask("keys")

    @site.get("/jwks.json")
    def jwks() -> Any:
        seen.append("/jwks.json")
        return jsonify(app.jwks())

    @site.get("/moved")
    def moved() -> Any:
        return redirect("/jwks.json")

    @site.get("/text")
    def text() -> str:
        return "no keys"

    server = make_server("127.0.0.1", 0, site)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}/jwks.json", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# --- clients of the other kinds, and users -------------------------------------------------------


def basic(pair: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def registered(app: App, secret: str | None) -> None:
    """Register the test's client again, with a secret, or as a public one."""
    client = Client(app.client_id, (REDIRECT,), "launch openid patient/Patient.rs", secret=secret)
    app.parts.authorization.clients.register(client)


def form_of(code: str, **more: str) -> dict[str, str]:
    return {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": REDIRECT,
        "code_verifier": VERIFIER,
        **more,
    }


def test_a_symmetric_client_proves_itself_by_its_secret_and_by_nothing_else(app: App) -> None:
    registered(app, "s%cret:1")
    right = basic("app:s%25cret%3A1")  # form-encoded before base64

    refused = [
        app.http.post("/auth/token", data=form_of(app.code()), headers=headers)
        for headers in ({}, basic("app:wrong"), basic("other:s"), {"Authorization": "Basic ?"})
    ]
    refused += [
        app.http.post("/auth/token", data=form_of(app.code(), client_id="app")),
        app.http.post("/auth/token", data=form_of(app.code(), client_id="app"), headers=right),
        app.redeem(app.code()),
    ]
    taken = app.http.post("/auth/token", data=form_of(app.code()), headers=right)

    assert {answer.status_code for answer in refused} == {401}
    assert taken.status_code == 200 and taken.get_json()["patient"] == "p1"


def test_a_public_client_names_itself_in_the_body_and_never_acts_on_its_own(app: App) -> None:
    registered(app, None)

    taken = app.http.post("/auth/token", data=form_of(app.code(), client_id="app"))
    nameless = app.http.post("/auth/token", data=form_of(app.code()))
    alone = app.http.post(
        "/auth/token",
        data={"grant_type": "client_credentials", "client_id": "app", "scope": "system/Patient.r"},
    )

    assert taken.status_code == 200 and nameless.status_code == 401
    assert alone.get_json()["error"] == "unauthorized_client"


def test_a_confidential_client_sends_no_client_id_in_the_body(app: App) -> None:
    assert app.redeem(app.code(), client_id="app").get_json()["error"] == "invalid_client"


def test_offline_access_brings_a_refresh_token_too(app: App) -> None:
    app.parts.authorization.register_client(
        "app", app.jwks(), [REDIRECT], "launch offline_access patient/Patient.rs"
    )

    token = app.redeem(app.code(scope="launch offline_access patient/Patient.rs")).get_json()

    assert token["refresh_token"] and "offline_access" in token["scope"].split()


def test_a_launch_says_more_when_it_has_more_to_say(app: App) -> None:
    more = {"intent": "review", "tenant": "site-1", "smart_style_url": f"{ORIGIN}/style.json"}

    token = app.redeem(app.code(launch=app.launch(extra=more))).get_json()

    assert more.items() <= token.items()


def test_where_several_people_may_sign_in_a_standalone_launch_asks_who(app: App) -> None:
    for one in ("clinician", "radiologist"):
        app.parts.fhir.update(
            {"resourceType": "Practitioner", "id": one, "name": [{"family": one.title()}]}
        )
    params = app.authorize_params(scope="openid fhirUser user/Patient.rs")

    page = app.http.get("/auth/authorize", query_string=params)
    chosen = page.text.split("Radiologist")[1].split('name="login" value="')[1].split('"')[0]
    code = answer_of(app.http.post("/auth/authorize", data={**params, "login": chosen}))["code"]
    token = app.redeem(code).get_json()

    payload = json.loads(jws.extract_compact(token["id_token"].encode()).payload)
    assert payload["fhirUser"].endswith("Practitioner/radiologist") and "patient" not in token
