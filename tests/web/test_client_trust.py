"""Whom the front door lets in: forged, stale, misdirected and replayed tokens are all the same."""

import base64
import json
import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from flask import Flask, Response
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from cds_service.adapters import jwks
from cds_service.adapters.egress import Egress
from cds_service.adapters.jwks import ASK_AGAIN_S, FRESH_S, STALE_S, TRY_AGAIN_S, ClientKeys
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrTimedOut, UntrustedClient, UpstreamFailed
from cds_service.web.client_trust import ClientTrust
from cds_service.web.registrations import Registrations
from tests.builders import NOW
from tests.contract.fhir_server import serving
from tests.fakes.ledger import FakeClock, FakeReplays, FakeTenants
from tests.web.ehr_client import ISSUER, KID, SERVICE_URL, AnEhr

JKU = "https://ehr.example.org/.well-known/jwks.json"
RSA = RSAKey.generate_key(2048)


@pytest.fixture
def ehr() -> AnEhr:
    return AnEhr()


def a_trust(*tenants: Tenant, clock: Any = None) -> ClientTrust:
    keys = ClientKeys(Egress())
    registrations = Registrations(FakeTenants(*tenants))
    return ClientTrust(registrations, keys, FakeReplays(), clock or FakeClock())


def refused(trust: ClientTrust, header: str | None) -> str:
    with pytest.raises(UntrustedClient) as caught:
        trust.verify(header, [SERVICE_URL])
    return caught.value.reason


def unsigned(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"") -> str:
    parts = [json.dumps(header).encode(), json.dumps(claims).encode(), signature]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


# --- who comes in ----------------------------------------------------------------------------


def test_ch2_205_es384_is_accepted_with_a_kid_of_any_characters(ehr: AnEhr) -> None:
    trust = a_trust(ehr.tenant())

    assert trust.verify(f"Bearer {ehr.token()}", [SERVICE_URL]).id == "t-1"


def test_ch2_205_rs384_is_accepted() -> None:
    ehr = AnEhr(RSA, "RS384")

    assert a_trust(ehr.tenant()).verify(f"Bearer {ehr.token()}", [SERVICE_URL])


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["https://other.example", SERVICE_URL]},
        {"nbf": int(NOW.timestamp()) - 300, "sub": "client"},
        {"exp": int(NOW.timestamp()) - 30, "iat": int(NOW.timestamp()) - 330},
        {"iat": int(NOW.timestamp()) + 30, "exp": int(NOW.timestamp()) + 330},
        {"exp": int(NOW.timestamp()) + 3600},
        {"tenant": "x", "extra": {"a": 1}},  # nothing is registered about the tenant
    ],
    ids=["aud list", "Epic's nbf and sub", "late by 30 s", "early by 30 s", "an hour", "extras"],
)
def test_what_real_clients_send_is_accepted(ehr: AnEhr, changes: dict[str, Any]) -> None:
    assert a_trust(ehr.tenant()).verify(f"Bearer {ehr.token(**changes)}", [SERVICE_URL])


def test_a_long_jku_fits_into_the_header(ehr: AnEhr) -> None:
    jku = "https://ehr.example.org/" + "k" * 600

    token = ehr.token(header={"jku": jku})

    assert a_trust(ehr.tenant(jkus=(jku,))).verify(f"Bearer {token}", [SERVICE_URL])


def test_without_a_registered_jku_the_header_is_ignored(ehr: AnEhr) -> None:
    token = ehr.token(header={"jku": "https://evil.example/jwks.json"})

    assert a_trust(ehr.tenant()).verify(f"Bearer {token}", [SERVICE_URL])


def test_a_jku_of_522_base64_characters_fits_into_the_header(ehr: AnEhr) -> None:
    jku = "https://ehr.example.org/" + "k" * 330
    token = ehr.token(header={"jku": jku})

    assert len(token.split(".")[0]) > 522
    assert a_trust(ehr.tenant(jkus=(jku,))).verify(f"Bearer {token}", [SERVICE_URL])


@pytest.mark.parametrize(
    ("alg", "make"),
    [
        ("ES256", lambda: ECKey.generate_key("P-256")),
        ("ES512", lambda: ECKey.generate_key("P-521")),
        ("RS256", lambda: RSA),
        ("RS512", lambda: RSA),
        ("PS256", lambda: RSA),
        ("PS384", lambda: RSA),
        ("PS512", lambda: RSA),
        ("Ed25519", lambda: OKPKey.generate_key("Ed25519")),
    ],
)
def test_ch2_206_207_an_algorithm_is_accepted_from_the_ehr_that_is_registered_with_it(
    alg: str, make: Any
) -> None:
    ehr = AnEhr(make(), alg)
    allowed = a_trust(ehr.tenant(algorithms=(alg,)))

    assert allowed.verify(f"Bearer {ehr.token()}", [SERVICE_URL])
    by_default = a_trust(ehr.tenant())
    assert refused(by_default, f"Bearer {ehr.token()}") == "algorithm-not-accepted"


def test_ch2_205_an_ehr_registered_for_one_algorithm_may_not_use_the_other(ehr: AnEhr) -> None:
    trust = a_trust(ehr.tenant(algorithms=("RS384",)))

    assert refused(trust, f"Bearer {ehr.token()}") == "algorithm-not-accepted"


def test_an_audience_typed_by_hand_is_accepted_besides_the_address(ehr: AnEhr) -> None:
    trust = a_trust(ehr.tenant(audiences=("Sightline PROD",)))

    assert trust.verify(f"Bearer {ehr.token(aud='Sightline PROD')}", [SERVICE_URL])
    assert trust.verify(f"Bearer {ehr.token()}", [SERVICE_URL])
    assert refused(trust, f"Bearer {ehr.token(aud='Sightline TEST')}") == "audience-wrong"


def test_epic_s_subject_is_checked_where_it_is_registered(ehr: AnEhr) -> None:
    trust = a_trust(ehr.tenant(subject="client-1"))

    assert trust.verify(f"Bearer {ehr.token(sub='client-1')}", [SERVICE_URL])
    for sub in ("client-2", "", 5, ["client-1"], None):
        assert refused(trust, f"Bearer {ehr.token(sub=sub)}") == "subject-wrong"


def test_ch2_194_the_tenant_is_checked_where_it_is_registered(ehr: AnEhr) -> None:
    trust = a_trust(ehr.tenant(tenant_claims=("site-1", "site-2")))

    assert trust.verify(f"Bearer {ehr.token(tenant='site-2')}", [SERVICE_URL])
    for claim in ("site-3", "", 5, ["site-1"], {"site-1": 1}, None):
        assert refused(trust, f"Bearer {ehr.token(tenant=claim)}") == "tenant-not-registered"


def test_t10_one_issuer_of_two_sites_is_told_apart_by_the_tenant(ehr: AnEhr) -> None:
    first = ehr.tenant(tenant_claims=("site-1",))
    second = ehr.tenant(id="t-2", name="Other", tenant_claims=("site-2",))
    trust = a_trust(first, second)

    assert trust.verify(f"Bearer {ehr.token(tenant='site-1')}", [SERVICE_URL]).id == "t-1"
    assert trust.verify(f"Bearer {ehr.token(tenant='site-2')}", [SERVICE_URL]).id == "t-2"
    assert refused(trust, f"Bearer {ehr.token(tenant='site-3')}") == "tenant-not-registered"
    assert refused(trust, f"Bearer {ehr.token()}") == "tenant-not-registered"


def test_t10_a_token_that_fits_two_registrations_fits_none(ehr: AnEhr) -> None:
    first = ehr.tenant(tenant_claims=("site-1",))
    second = ehr.tenant(id="t-2", name="Other")  # as no register would take it

    trust = a_trust(first, second)

    assert refused(trust, f"Bearer {ehr.token(tenant='site-1')}") == "tenant-not-registered"


@pytest.mark.parametrize("jku", [JKU, JKU + "/2"])
def test_ch2_195_each_registered_jku_is_accepted(ehr: AnEhr, jku: str) -> None:
    trust = a_trust(ehr.tenant(jkus=(JKU, JKU + "/2")))

    assert trust.verify(f"Bearer {ehr.token(header={'jku': jku})}", [SERVICE_URL])


def test_ch2_199_without_a_jku_the_pinned_keys_are_used(ehr: AnEhr) -> None:
    trust = a_trust(ehr.tenant(jkus=(JKU,)))

    assert trust.verify(f"Bearer {ehr.token()}", [SERVICE_URL])


def test_warming_up_lets_nobody_in_and_can_be_done_at_each_start(ehr: AnEhr) -> None:
    trust = a_trust(ehr.tenant())

    trust.warm_up()
    trust.warm_up()

    assert refused(trust, f"Bearer {ehr.token(aud=None)}") == "audience-wrong"
    assert trust.verify(f"Bearer {ehr.token(jti='warm-up')}", [SERVICE_URL])


# --- who does not ----------------------------------------------------------------------------

NOW_S = int(NOW.timestamp())
REFUSED_CLAIMS = [
    ({"iss": "https://evil.example"}, "issuer-unknown"),
    ({"iss": None}, "issuer-unknown"),
    ({"iss": [ISSUER]}, "issuer-unknown"),
    ({"iss": ISSUER + "/"}, "issuer-unknown"),
    ({"aud": None}, "audience-wrong"),
    ({"aud": []}, "audience-wrong"),
    ({"aud": [5]}, "audience-wrong"),
    ({"aud": SERVICE_URL + "/"}, "audience-wrong"),
    ({"aud": SERVICE_URL + "/feedback"}, "audience-wrong"),
    ({"aud": SERVICE_URL.replace("https", "http")}, "audience-wrong"),
    ({"aud": SERVICE_URL.upper()}, "audience-wrong"),
    ({"exp": None}, "times-missing"),
    ({"iat": None}, "times-missing"),
    ({"exp": "soon"}, "times-missing"),
    ({"exp": True}, "times-missing"),
    ({"exp": -5}, "times-missing"),
    ({"exp": 10**30}, "times-missing"),
    ({"exp": 1}, "expired"),
    ({"exp": NOW_S - 61, "iat": NOW_S - 300}, "expired"),
    ({"iat": NOW_S + 61, "exp": NOW_S + 300}, "not-yet-valid"),
    ({"nbf": NOW_S + 61}, "not-yet-valid"),
    ({"nbf": "now"}, "not-yet-valid"),
    ({"exp": NOW_S + 3601}, "lifetime-too-long"),
    ({"jti": None}, "jti-missing"),
    ({"jti": ""}, "jti-missing"),
    ({"jti": 5}, "jti-missing"),
    ({"jti": "j" * 257}, "jti-missing"),
]


@pytest.mark.parametrize(("changes", "reason"), REFUSED_CLAIMS, ids=str)
def test_t1_a_token_with_wrong_claims_is_refused(
    ehr: AnEhr, changes: dict[str, Any], reason: str
) -> None:
    token = ehr.token(**changes)

    assert refused(a_trust(ehr.tenant()), f"Bearer {token}") == reason


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"kid": None}, "kid-missing"),
        ({"kid": "other"}, "kid-unknown"),
        ({"typ": None}, "type-not-jwt"),
        ({"typ": "at+jwt"}, "type-not-jwt"),
        ({"jku": "https://evil.example/jwks.json"}, "jku-not-registered"),
        ({"jku": JKU + "?x"}, "jku-not-registered"),
    ],
    ids=str,
)
def test_t1_t2_a_token_with_a_wrong_header_is_refused(
    ehr: AnEhr, header: dict[str, Any], reason: str
) -> None:
    token = ehr.token(header=header)

    assert refused(a_trust(ehr.tenant(jkus=(JKU,))), f"Bearer {token}") == reason


def test_ch2_201_an_unsigned_token_is_refused(ehr: AnEhr) -> None:
    for alg in ("none", "None", "NONE", "", None, 5):
        token = unsigned({"alg": alg, "kid": KID, "typ": "JWT"}, ehr.claims())
        assert refused(a_trust(ehr.tenant()), f"Bearer {token}") == "algorithm-not-accepted"


def test_ch2_203_a_mac_with_the_public_key_is_refused() -> None:
    ehr = AnEhr(RSA, "RS384")
    secret = OctKey.import_key(base64.b64encode(RSA.as_pem(private=False)))
    header = {"alg": "HS256", "kid": KID, "typ": "JWT"}
    token = jwt.encode(header, ehr.claims(), secret, algorithms=["HS256"])

    assert refused(a_trust(ehr.tenant()), f"Bearer {token}") == "algorithm-not-accepted"


@pytest.mark.parametrize("alg", ["RS256", "RS512", "PS384"])
def test_an_algorithm_that_is_not_ours_is_refused(alg: str) -> None:
    ehr = AnEhr(RSA, alg)

    reason = refused(a_trust(ehr.tenant()), f"Bearer {ehr.token()}")

    assert reason == "algorithm-not-accepted"


def test_the_algorithm_must_be_that_of_the_key(ehr: AnEhr) -> None:
    token = unsigned({"alg": "RS384", "kid": KID, "typ": "JWT"}, ehr.claims(), b"x" * 256)

    assert refused(a_trust(ehr.tenant()), f"Bearer {token}") == "algorithm-not-accepted"


def test_a_key_in_the_token_is_not_believed(ehr: AnEhr) -> None:
    forger = AnEhr()
    own_key = forger.key.as_dict(private=False)

    token = forger.token(header={"jwk": own_key})

    assert refused(a_trust(ehr.tenant()), f"Bearer {token}") == "signature-wrong"


def test_a_critical_header_that_we_do_not_know_is_refused(ehr: AnEhr) -> None:
    token = unsigned(
        {"alg": "ES384", "kid": KID, "typ": "JWT", "crit": ["exp"]}, ehr.claims(), b"x" * 96
    )

    assert refused(a_trust(ehr.tenant()), f"Bearer {token}") == "signature-wrong"


def test_t1_no_changed_character_goes_through(ehr: AnEhr) -> None:
    trust = a_trust(ehr.tenant())
    header, payload, signature = ehr.token().split(".")
    changed = ehr.claims(sub="somebody")
    other = unsigned({}, changed).split(".")[1]

    for token in (
        f"{header}.{other}.{signature}",
        f"{header}.{payload}.{'A' * len(signature)}",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}.{payload}.",
    ):
        assert refused(trust, f"Bearer {token}") == "signature-wrong"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "token-missing"),
        ("", "token-missing"),
        ("Bearer", "token-missing"),
        ("Bearer ", "token-missing"),
        ("Basic abc", "token-missing"),
        ("Bearer a.b", "token-malformed"),
        ("Bearer a.b.c", "token-malformed"),
        ("Bearer a.b.c.d.e", "token-malformed"),
        ("Bearer \u00e9.b.c", "token-malformed"),
        ("Bearer W10.W10.c", "token-malformed"),
        ("Bearer " + "a" * 20_000, "token-too-long"),
        ("Bearer " + "a" * 3000 + ".b.c", "token-malformed"),
    ],
)
def test_what_is_no_token_is_refused(ehr: AnEhr, header: str | None, reason: str) -> None:
    assert refused(a_trust(ehr.tenant()), header) == reason


def test_a_deep_token_is_refused(ehr: AnEhr) -> None:
    deep = base64.urlsafe_b64encode(b"[" * 1000).decode()

    assert refused(a_trust(ehr.tenant()), f"Bearer {deep}.{deep}.c") == "token-malformed"


def test_t3_a_jti_is_used_once_per_issuer(ehr: AnEhr) -> None:
    trust, token = a_trust(ehr.tenant()), ehr.token(jti="j-1")
    trust.verify(f"Bearer {token}", [SERVICE_URL])

    assert refused(trust, f"Bearer {token}") == "replayed"
    assert refused(trust, f"Bearer {ehr.token(jti='j-1')}") == "replayed"


def test_a_forged_token_does_not_use_up_a_jti(ehr: AnEhr) -> None:
    trust = a_trust(ehr.tenant())
    refused(trust, f"Bearer {AnEhr().token(jti='j-1')}")

    assert trust.verify(f"Bearer {ehr.token(jti='j-1')}", [SERVICE_URL])


def test_t10_one_ehr_cannot_sign_for_another(ehr: AnEhr) -> None:
    other = AnEhr()
    second = other.tenant(id="t-2", name="Other", hook_issuer="https://other.example.org")
    trust = a_trust(ehr.tenant(), second)

    assert refused(trust, f"Bearer {other.token()}") == "signature-wrong"


@pytest.mark.parametrize(
    "make",
    [
        lambda: ECKey.generate_key("secp256k1"),
        lambda: OctKey.generate_key(256),
        lambda: RSAKey.generate_key(1024),
    ],
    ids=["secp256k1", "secret", "weak RSA"],
)
@pytest.mark.filterwarnings("ignore")  # joserfc's own, about the weak keys made here
def test_a_weak_registered_key_is_no_key(make: Any, ehr: AnEhr) -> None:
    pinned = json.dumps({"keys": [{**make().as_dict(), "kid": KID}, "odd", {"kid": 5}]})

    reason = refused(a_trust(ehr.tenant(jwks=pinned)), f"Bearer {ehr.token()}")

    assert reason == "kid-unknown"


# --- keys from an address --------------------------------------------------------------------


class KeyServer:
    """Publishes a key set and counts who asks."""

    def __init__(self) -> None:
        self.body: str | None = None
        self.asked = 0
        self.now_s = 0.0
        self.may_answer = Event()
        self.may_answer.set()

    def app(self) -> Flask:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        app = Flask("keys")

        @app.get("/jwks.json")
        def keys() -> Response:
            self.asked += 1
            self.may_answer.wait(30)
            return Response(status=500) if self.body is None else Response(self.body)

        return app


@pytest.fixture
def server() -> KeyServer:
    return KeyServer()


@pytest.fixture
def find(server: KeyServer, ehr: AnEhr, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(jwks, "TIMEOUT_S", 60.0)
    with serving(server.app()) as base:
        server.body = ehr.public_keys()
        tenant = ehr.tenant(jwks=None, jwks_url=f"{base}/jwks.json")
        keys = ClientKeys(Egress(), clock=lambda: server.now_s)
        yield lambda kid=KID, timeout_s=30.0: keys.find(tenant, kid, timeout_s=timeout_s)
        server.may_answer.set()


def test_a_key_set_is_fetched_once_and_kept(find: Any, server: KeyServer) -> None:
    assert find() and find()

    assert server.asked == 1


def test_t2_an_unknown_kid_asks_again_at_most_once_a_minute(find: Any, server: KeyServer) -> None:
    find()
    server.now_s += ASK_AGAIN_S + 1
    for _ in range(5):
        assert find("unknown") is None

    assert server.asked == 2


def test_a_key_set_that_could_not_be_had_is_soon_asked_for_again(
    find: Any, server: KeyServer
) -> None:
    body, server.body = server.body, None
    with pytest.raises(UpstreamFailed):
        find()
    server.body = body
    with pytest.raises(UpstreamFailed):
        find()
    assert server.asked == 1

    server.now_s += TRY_AGAIN_S + 1

    assert find() is not None and server.asked == 2


def test_a_rotated_key_is_found(find: Any, server: KeyServer, ehr: AnEhr) -> None:
    find()
    server.body, server.now_s = ehr.public_keys("next"), server.now_s + ASK_AGAIN_S + 1

    assert find("next") and find(KID) is None


def test_an_old_key_set_is_renewed_without_anybody_waiting(find: Any, server: KeyServer) -> None:
    find()
    server.now_s += FRESH_S + 1

    assert find()
    deadline = time.monotonic() + 60
    while server.asked < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.asked == 2


def test_a_hook_waits_for_a_slow_key_set_no_longer_than_it_can_and_the_next_one_has_it(
    find: Any, server: KeyServer
) -> None:
    server.may_answer.clear()
    with ThreadPoolExecutor(4) as hooks:
        hurried = [hooks.submit(find, timeout_s=0.05) for _ in range(4)]
        errors = [type(one.exception(timeout=30)) for one in hurried]
    server.may_answer.set()

    assert errors == [EhrTimedOut] * 4
    assert find() is not None and server.asked == 1


def test_an_unknown_kid_at_a_slow_address_holds_up_nobody_whose_key_is_known(
    find: Any, server: KeyServer
) -> None:
    find()
    server.may_answer.clear()
    server.now_s += ASK_AGAIN_S + 1

    with pytest.raises(EhrTimedOut):
        find("unknown", timeout_s=0.05)

    assert find(KID, timeout_s=0.0) is not None


def test_while_the_address_is_away_known_keys_stay_good_for_a_day(
    find: Any, server: KeyServer
) -> None:
    find()
    server.body, server.now_s = None, server.now_s + FRESH_S + 1
    assert find()

    server.now_s += STALE_S
    with pytest.raises(Exception, match="key set"):
        find()


def test_t2_a_key_that_the_registered_set_has_not_got_is_looked_for_at_a_registered_jku(
    server: KeyServer, ehr: AnEhr
) -> None:
    with serving(server.app()) as base, serving(KeyServer().app()) as other:
        server.body = ehr.public_keys()
        tenant = ehr.tenant(
            jwks=None, jwks_url=f"{other}/jwks.json", jkus=(f"{base}/jwks.json", JKU)
        )
        trust = a_trust(tenant)

        token = ehr.token(header={"jku": f"{base}/jwks.json"})
        assert trust.verify(f"Bearer {token}", [SERVICE_URL])
        without = ehr.token()
        assert refused(trust, f"Bearer {without}") == "keys-not-available"

    assert server.asked == 1


def test_t2_a_jku_that_is_not_registered_is_never_asked(server: KeyServer, ehr: AnEhr) -> None:
    with serving(server.app()) as base:
        server.body = ehr.public_keys()
        token = ehr.token(header={"jku": f"{base}/jwks.json"})

        assert a_trust(ehr.tenant()).verify(f"Bearer {token}", [SERVICE_URL])
        listed = a_trust(ehr.tenant(jkus=(JKU,)))
        assert refused(listed, f"Bearer {token}") == "jku-not-registered"

    assert server.asked == 0


@pytest.mark.parametrize(("changes", "reason"), REFUSED_CLAIMS, ids=str)
def test_t1_no_key_set_is_fetched_for_a_token_that_is_refused_without_it(
    server: KeyServer, ehr: AnEhr, changes: dict[str, Any], reason: str
) -> None:
    with serving(server.app()) as base:
        server.body = ehr.public_keys()
        trust = a_trust(ehr.tenant(jwks=None, jwks_url=f"{base}/jwks.json"))

        assert refused(trust, f"Bearer {ehr.token(**changes)}") == reason

    assert server.asked == 0  # or the time that it takes would tell one refusal from another


def test_a_key_that_is_no_point_of_its_curve_costs_itself_alone(ehr: AnEhr) -> None:
    off_curve = {"kty": "EC", "crv": "P-384", "kid": "other", "x": "AQAB", "y": "AQAB"}
    broken = {"kty": "RSA", "kid": "third", "n": "!", "e": "AQAB"}
    keys = [off_curve, broken, *json.loads(ehr.public_keys())["keys"]]
    trust = a_trust(ehr.tenant(jwks=json.dumps({"keys": keys})))

    assert trust.verify(f"Bearer {ehr.token()}", [SERVICE_URL])
    for kid in ("other", "third"):
        token = ehr.token(header={"kid": kid})
        assert refused(trust, f"Bearer {token}") in ("kid-unknown", "signature-wrong")


def test_while_nobody_answers_at_the_address_of_the_keys_nobody_is_let_in(ehr: AnEhr) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and then says nothing
        port = silent.getsockname()[1]
        hanging = ehr.tenant(jwks=None, jwks_url=f"http://127.0.0.1:{port}/jwks.json")
        assert refused(a_trust(hanging), f"Bearer {ehr.token()}") == "keys-not-available"

    gone = ehr.tenant(jwks=None, jwks_url=f"http://127.0.0.1:{port}/jwks.json")
    assert refused(a_trust(gone), f"Bearer {ehr.token()}") == "keys-not-available"


@pytest.mark.parametrize("body", [None, "", "<html>", "[]", '{"keys": 5}', '{"keys": []}'])
def test_without_a_usable_key_set_nobody_is_let_in(
    server: KeyServer, ehr: AnEhr, body: str | None
) -> None:
    server.body = body
    with serving(server.app()) as base:
        tenant = ehr.tenant(jwks=None, jwks_url=f"{base}/jwks.json")
        trust = a_trust(tenant)

        assert refused(trust, f"Bearer {ehr.token()}") == "keys-not-available"
        assert refused(trust, f"Bearer {ehr.token()}") == "keys-not-available"

    assert server.asked == 1
