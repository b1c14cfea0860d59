"""T1: whatever is wrong with a token, the caller learns nothing: 401, always the same answer."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey, RSAKey

from tests.builders import NOW
from tests.unit.cards.builders import SERVICE_ID
from tests.web.conftest import FrontDoor
from tests.web.ehr_client import ISSUER, KID, SERVICE_URL, AnEhr, a_hook_body

NOW_S = int(NOW.timestamp())
FORGER = AnEhr()
JKU = "https://evil.example/jwks.json"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.="
SAME = ("WWW-Authenticate", "Content-Length", "Content-Type", "Cache-Control", "Vary")

Make = Callable[[AnEhr], str]


def encoded(part: object) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unsigned(ehr: AnEhr, signature: bytes = b"", **header: Any) -> str:
    full = {"alg": "ES384", "kid": KID, "typ": "JWT"} | header
    return ".".join((encoded(full), encoded(ehr.claims()), encoded(signature)))


def with_part(ehr: AnEhr, position: int, text: str) -> str:
    parts = ehr.token().split(".")
    parts[position] = text
    return ".".join(parts)


def mac_with_the_public_key(ehr: AnEhr, alg: str) -> str:
    secret = OctKey.import_key(base64.b64encode(ehr.key.as_pem(private=False)))
    header = {"alg": alg, "kid": KID, "typ": "JWT"}
    return jwt.encode(header, ehr.claims(), secret, algorithms=[alg])


def signed_otherwise(key: ECKey | RSAKey, alg: str) -> Make:
    return lambda _ehr: AnEhr(key, alg).token()


def header(**changes: Any) -> Make:
    return lambda ehr: ehr.token(header=changes)


def claims(**changes: Any) -> Make:
    return lambda ehr: ehr.token(**changes)


FORGED: dict[str, Make] = {
    "nothing signed": unsigned,
    "alg none": lambda ehr: unsigned(ehr, alg="none"),
    "alg None": lambda ehr: unsigned(ehr, alg="None"),
    "alg nOnE with a signature": lambda ehr: unsigned(ehr, b"x" * 96, alg="nOnE"),
    "no alg": lambda ehr: unsigned(ehr, alg=None),
    "alg a list": lambda ehr: unsigned(ehr, alg=["ES384"]),
    "alg an object": lambda ehr: unsigned(ehr, alg={"ES384": 1}),
    "HS256 with the public key": lambda ehr: mac_with_the_public_key(ehr, "HS256"),
    "HS384 with the public key": lambda ehr: mac_with_the_public_key(ehr, "HS384"),
    "HS512 with the public key": lambda ehr: mac_with_the_public_key(ehr, "HS512"),
    "another key under the same kid": lambda _ehr: FORGER.token(),
    "its own jwk": lambda _ehr: FORGER.token(
        header={"jwk": FORGER.key.as_dict(private=False)},
    ),
    "its own jku": lambda _ehr: FORGER.token(header={"jku": JKU}),
    "its own x5u": lambda _ehr: FORGER.token(header={"x5u": JKU}),
    "RS384 of somebody": signed_otherwise(RSAKey.generate_key(2048), "RS384"),
    "RS256": signed_otherwise(RSAKey.generate_key(2048), "RS256"),
    "ES256": signed_otherwise(ECKey.generate_key("P-256"), "ES256"),
    "unknown kid": header(kid="other"),
    "no kid": header(kid=None),
    "kid a number": lambda ehr: unsigned(ehr, b"x" * 96, kid=5),
    "kid a path": header(kid="../../etc/passwd"),
    "kid with a quote": header(kid="' OR 1=1 --"),
    "no typ": header(typ=None),
    "typ of an access token": header(typ="at+jwt"),
    "a critical extension": lambda ehr: unsigned(ehr, b"x" * 96, crit=["exp"]),
    "no b64": lambda ehr: unsigned(ehr, b"x" * 96, b64=False, crit=["b64"]),
    "unknown iss": claims(iss="https://evil.example"),
    "no iss": claims(iss=None),
    "iss with a slash": claims(iss=f"{ISSUER}/"),
    "iss a list": claims(iss=[ISSUER]),
    "aud of another service": claims(aud=f"{SERVICE_URL}-2"),
    "aud of feedback": claims(aud=f"{SERVICE_URL}/feedback"),
    "aud with a slash": claims(aud=f"{SERVICE_URL}/"),
    "no aud": claims(aud=None),
    "aud an object": claims(aud={SERVICE_URL: True}),
    "expired": claims(iat=NOW_S - 400, exp=NOW_S - 100),
    "no exp": claims(exp=None),
    "exp a text": claims(exp=str(NOW_S + 300)),
    "exp without end": claims(exp=10**40),
    "no iat": claims(iat=None),
    "iat tomorrow": claims(iat=NOW_S + 86_400, exp=NOW_S + 86_700),
    "nbf tomorrow": claims(nbf=NOW_S + 86_400),
    "a day long": claims(exp=NOW_S + 86_400),
    "no jti": claims(jti=None),
    "jti a number": claims(jti=5),
    "jti endless": claims(jti="j" * 10_000),
    "claims of another token": lambda ehr: with_part(ehr, 1, encoded(ehr.claims(sub="admin"))),
    "no signature": lambda ehr: with_part(ehr, 2, ""),
    "short signature": lambda ehr: ehr.token()[:-4],
    "zero signature": lambda ehr: with_part(ehr, 2, encoded(b"\x00" * 96)),
    "DER signature": lambda ehr: with_part(ehr, 2, encoded(b"\x30\x64" + b"\x02\x30" * 50)),
    "claims no object": lambda ehr: with_part(ehr, 1, encoded([1])),
    "claims no JSON": lambda ehr: with_part(ehr, 1, encoded(b"\xff")),
    "header no base64": lambda ehr: with_part(ehr, 0, "*"),
    "five parts": lambda ehr: f"{ehr.token()}.a.b",
    "not a token": lambda _ehr: "token",
    "empty": lambda _ehr: "",
}


def answer_to(door: FrontDoor, token: str) -> Any:
    """The answer to a hook with this token in its header."""
    return door.client.post(
        f"/cds-services/{SERVICE_ID}",
        json=a_hook_body(),
        headers={"Authorization": f"Bearer {token}", "X-Request-Id": "request-0001"},
    )


def told(answer: Any) -> tuple[Any, ...]:
    """Everything that the caller can read from an answer."""
    return (answer.status_code, answer.data, *(answer.headers.get(name) for name in SAME))


def test_t1_there_are_more_than_forty_kinds_of_forged_tokens() -> None:
    assert len(FORGED) >= 40


@pytest.mark.parametrize("make", FORGED.values(), ids=FORGED.keys())
def test_t1_a_forged_token_is_401_and_the_answer_is_that_to_no_token(
    door: FrontDoor, make: Make
) -> None:
    without = door.client.post(f"/cds-services/{SERVICE_ID}", json=a_hook_body())

    answer = answer_to(door, make(door.ehr))

    assert told(answer) == told(without) and answer.status_code == 401
    assert door.house.record.reads == [] and door.house.audit.events == []


def test_t1_the_token_that_the_forged_ones_are_made_of_is_good(door: FrontDoor) -> None:
    assert answer_to(door, door.ehr.token()).status_code == 200


# The door is made once: a refused token leaves nothing behind, and that is what is shown.
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    change=st.sampled_from(["replace", "insert", "cut"]),
    place=st.integers(0, 10_000),
    other=st.integers(1, len(ALPHABET) - 1),
)
def test_t1_no_changed_character_goes_through(
    door: FrontDoor, change: str, place: int, other: int
) -> None:
    token = door.ehr.token()
    place %= len(token)
    new = ALPHABET[(ALPHABET.index(token[place]) + other) % len(ALPHABET)]
    rest = {"replace": new + token[place + 1 :], "insert": new + token[place:], "cut": ""}[change]

    answer = answer_to(door, token[:place] + rest)

    if meaning(token[:place] + rest) != meaning(token):
        assert (answer.status_code, answer.data) == (401, b"")


def meaning(token: str) -> list[bytes] | None:
    """The bytes of a token's parts: base64 ignores the last bits, so a change there is none."""
    try:
        return [base64.urlsafe_b64decode(part + "===") for part in token.split(".")]
    except ValueError:
        return None


@settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(max_size=100))
def test_t1_three_random_parts_are_no_token(
    door: FrontDoor, first: bytes, second: bytes, third: bytes
) -> None:
    answer = answer_to(door, ".".join(encoded(part) for part in (first, second, third)))

    assert (answer.status_code, answer.data) == (401, b"")
