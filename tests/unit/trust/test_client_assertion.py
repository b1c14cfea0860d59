"""Our client assertions, checked as a token endpoint checks them (SMART App Launch 2.2)."""

from collections.abc import Callable
from typing import Any

import pytest
from joserfc import jws, jwt
from joserfc.jwk import KeySet

from cds_service.adapters.client_assertion import ClientAssertion
from cds_service.adapters.signing_keys import KeyState, SigningKey, fresh_keys
from cds_service.domain.smart_client import assertion_algorithm
from cds_service.errors import SettingsInvalid
from tests.builders import NOW

TOKEN_URL = "https://ehr.example.org/token"


@pytest.fixture(scope="module")
def keys() -> tuple[SigningKey, ...]:
    return fresh_keys(NOW)


@pytest.fixture
def assertion(keys: tuple[SigningKey, ...]) -> ClientAssertion:
    return ClientAssertion(lambda: keys, clock=lambda: NOW)


@pytest.fixture
def decoded(assertion: ClientAssertion) -> Callable[[str], Any]:
    published = KeySet.import_key_set(assertion.public_jwks())
    return lambda alg: jwt.decode(
        assertion.sign("sightline", TOKEN_URL, alg), published, algorithms=[alg]
    )


@pytest.mark.requirement("@307", "@308", "@309", "@320", "@321", "@322", "@323")
@pytest.mark.parametrize("algorithm", ["ES384", "RS384"])
def test_an_assertion_is_signed_with_the_current_key_of_its_algorithm(
    decoded: Callable[[str], Any], keys: tuple[SigningKey, ...], algorithm: str
) -> None:
    token = decoded(algorithm)

    (current,) = [
        key for key in keys if key.state is KeyState.CURRENT and key.algorithm == algorithm
    ]
    assert token.header == {"alg": algorithm, "kid": current.kid, "typ": "JWT"}


@pytest.mark.requirement("@327", "@328", "@329")
def test_an_assertion_names_us_twice_and_one_endpoint(decoded: Callable[[str], Any]) -> None:
    claims = decoded("ES384").claims

    assert claims["iss"] == claims["sub"] == "sightline" and claims["aud"] == TOKEN_URL


@pytest.mark.requirement("@319", "@330", "@331", "@332")
def test_an_assertion_lives_less_than_five_minutes_and_its_jti_is_fresh(
    decoded: Callable[[str], Any],
) -> None:
    first, second = (decoded("ES384").claims for _ in range(2))

    assert isinstance(first["exp"], int) and 0 < first["exp"] - NOW.timestamp() < 300
    assert first["jti"] != second["jti"]


@pytest.mark.requirement("@324", "@325")
def test_an_assertion_has_no_jku_to_be_wrong(assertion: ClientAssertion) -> None:
    signed = assertion.sign("sightline", TOKEN_URL)

    assert "jku" not in jws.extract_compact(signed.encode()).headers()


@pytest.mark.requirement("@293", "@294", "@313", "@314", "@315")
def test_the_published_set_has_every_public_half_and_no_private_one(
    assertion: ClientAssertion, keys: tuple[SigningKey, ...]
) -> None:
    published = assertion.public_jwks()["keys"]

    assert {key["kid"] for key in published} == {key.kid for key in keys} and len(published) == 4
    assert {key["kty"] for key in published} == {"RSA", "EC"}
    for key in published:
        needed = {"n", "e"} if key["kty"] == "RSA" else {"crv", "x", "y"}
        assert key.keys() == {"kty", "kid", "alg", "use"} | needed


def test_a_missing_key_names_the_command_that_makes_it(keys: tuple[SigningKey, ...]) -> None:
    only = ClientAssertion(lambda: [key for key in keys if key.algorithm == "ES384"])

    with pytest.raises(SettingsInvalid, match="sightline upgrade"):
        only.sign("sightline", TOKEN_URL, "RS384")


@pytest.mark.requirement("@320")
@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((), "ES384"),
        (("RS384", "ES384"), "ES384"),
        (("RS256", "RS384"), "RS384"),
        (("RS256", "ES256"), None),
    ],
)
def test_the_algorithm_is_one_that_the_server_accepts(
    offered: tuple[str, ...], chosen: str | None
) -> None:
    assert assertion_algorithm(offered) == chosen
