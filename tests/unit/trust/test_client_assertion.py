"""Our client assertions, checked as a token endpoint checks them (SMART App Launch 2.2)."""

import stat
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from cds_service.adapters.client_assertion import ClientAssertion, load_or_create_signing_key
from cds_service.errors import SettingsInvalid
from tests.builders import NOW

TOKEN_URL = "https://ehr.example.org/token"


def an_assertion() -> ClientAssertion:
    return ClientAssertion(ECKey.generate_key("P-384").as_pem(private=True), clock=lambda: NOW)


def test_an_assertion_verifies_with_the_published_key_and_names_one_endpoint() -> None:
    assertion = an_assertion()

    token = jwt.decode(
        assertion.sign("sightline", TOKEN_URL),
        KeySet.import_key_set(assertion.public_jwks()),
        algorithms=["ES384"],
    )

    assert token.header["typ"] == "JWT"
    assert token.claims["iss"] == token.claims["sub"] == "sightline"
    assert token.claims["aud"] == TOKEN_URL


def test_an_assertion_lives_less_than_five_minutes_and_its_jti_is_fresh() -> None:
    assertion = an_assertion()
    keys = KeySet.import_key_set(assertion.public_jwks())

    first, second = (
        jwt.decode(assertion.sign("sightline", TOKEN_URL), keys, algorithms=["ES384"]).claims
        for _ in range(2)
    )

    assert 0 < first["exp"] - NOW.timestamp() < 300
    assert first["jti"] != second["jti"]


def test_the_published_set_has_no_private_half() -> None:
    (key,) = an_assertion().public_jwks()["keys"]

    assert "d" not in key and key["crv"] == "P-384" and key["kid"]


def test_a_signing_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"

    first = load_or_create_signing_key(path)
    second = load_or_create_signing_key(path)

    assert first == second and stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    "pem",
    [
        b"not a key",
        RSAKey.generate_key(2048).as_pem(private=True),
        ECKey.generate_key("P-256").as_pem(private=True),
        ECKey.generate_key("P-384").as_pem(private=False),
    ],
    ids=["no PEM", "RSA", "another curve", "public half"],
)
def test_a_wrong_signing_key_stops_the_start(pem: bytes) -> None:
    with pytest.raises(SettingsInvalid):
        ClientAssertion(pem)
