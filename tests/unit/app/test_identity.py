"""The id_token is believed only when everything about it fits."""

from datetime import UTC, datetime
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey
from joserfc.jws import JWSRegistry

from cds_service.errors import EhrAnswerInvalid, LaunchRefused
from smart_app.identity import User, keys_at, user_from
from tests.builders import a_tenant
from tests.unit.app.test_grant import SERVER
from tests.unit.app.transport import Answers, session_over

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
KEYS_URL = "https://ehr.example.org/auth/jwks"
TENANT = a_tenant(fhir_base="https://ehr.example.org/fhir")
RSA = RSAKey.generate_key(2048, parameters={"kid": "rsa"})
EC = ECKey.generate_key("P-384", parameters={"kid": "ec"})
KEYS = KeySet([RSA, EC])


def a_token(key: Any = RSA, alg: str = "RS256", header: Any = None, **changes: Any) -> str:
    claims = {
        "iss": SERVER.issuer,
        "aud": "sightline",
        "sub": "u-1",
        "nonce": "n",
        "iat": NOW.timestamp(),
        "exp": NOW.timestamp() + 300,
        "fhirUser": "https://ehr.example.org/fhir/Practitioner/1",
    } | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    lenient = JWSRegistry(algorithms=[alg], strict_check_header=False)
    return jwt.encode({"alg": alg, "kid": key.kid, **(header or {})}, claims, key, registry=lenient)


def user_of(token: str) -> User:
    return user_from(token, KEYS, server=SERVER, tenant=TENANT, nonce="n", now=NOW)


@pytest.mark.requirement("@201")
@pytest.mark.parametrize(("key", "alg"), [(RSA, "RS256"), (RSA, "RS384"), (EC, "ES384")])
def test_a_good_token_names_the_user(key: Any, alg: str) -> None:
    assert user_of(a_token(key, alg)) == User("u-1", "Practitioner/1")


@pytest.mark.requirement("@201")
@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://other.example.org"},
        {"aud": "another-app"},
        {"aud": ["another-app", "third"]},
        {"azp": "another-app"},
        {"nonce": "other"},
        {"nonce": None},
        {"sub": None},
        {"iat": None},
        {"exp": None},
        {"exp": NOW.timestamp() - 61},
        {"iat": NOW.timestamp() + 61},
    ],
)
def test_a_token_that_does_not_fit_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(LaunchRefused):
        user_of(a_token(**changes))


@pytest.mark.requirement("@201")
def test_a_key_that_is_not_the_server_s_is_refused() -> None:
    stranger = RSAKey.generate_key(2048, parameters={"kid": "rsa"})

    with pytest.raises(LaunchRefused):
        user_of(a_token(stranger))


@pytest.mark.requirement("@201")
def test_an_algorithm_outside_the_list_is_refused() -> None:
    secret = OctKey.generate_key(256, parameters={"kid": "rsa"})

    for token in (a_token(secret, "HS256"), a_token(RSA, "PS256")):
        with pytest.raises(LaunchRefused):
            user_of(token)


@pytest.mark.requirement("@201")
@pytest.mark.parametrize("token", ["", "a.b.c", "eyJhbGciOiJub25lIn0.e30."])
def test_what_is_no_signed_token_is_refused(token: str) -> None:
    with pytest.raises(LaunchRefused):
        user_of(token)


def test_a_header_member_that_we_do_not_know_is_ignored() -> None:
    assert user_of(a_token(header={"x-vendor": "1"})).subject == "u-1"


@pytest.mark.parametrize(
    ("claim", "reference"),
    [
        ("PractitionerRole/7", "PractitionerRole/7"),
        ("Patient/p-1", "Patient/p-1"),
        ("https://other.example.org/fhir/Practitioner/1", None),
        ("https://ehr.example.org/fhir/Device/1", None),
        ("Practitioner/1/../2", None),
        (7, None),
        (None, None),
    ],
)
def test_a_user_of_another_server_is_nobody(claim: object, reference: str | None) -> None:
    assert user_of(a_token(fhirUser=claim)).fhir_user == reference


def test_keys_that_cannot_sign_are_left_out() -> None:
    listed = [
        RSA.as_dict(private=False),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "rsa"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {**EC.as_dict(private=False), "use": "enc"},
        {"kty": "EC", "crv": "brainpoolP384r1", "x": "AA", "y": "AA", "kid": "other"},
        {"kty": "RSA", "n": 3, "kid": "broken"},
        "odd",
    ]

    keys = keys_at(KEYS_URL, session_over(Answers(200, {"keys": listed})))

    assert [key.kid for key in keys.keys] == ["rsa"]


@pytest.mark.parametrize("body", [[], {"keys": [{"kty": "EC"}]}, b"no"])
def test_a_broken_key_set_is_the_ehr_s_fault(body: Any) -> None:
    with pytest.raises(EhrAnswerInvalid):
        keys_at(KEYS_URL, session_over(Answers(200, body)))
