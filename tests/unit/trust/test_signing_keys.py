"""Rotating our keys: published before they sign, and for a while after."""

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from joserfc.jwk import ECKey, RSAKey

from cds_service.adapters.client_assertion import ClientAssertion
from cds_service.adapters.signing_keys import (
    KeyState,
    SigningKey,
    SigningKeyFile,
    fresh_keys,
    rotated,
)
from cds_service.cli import main
from cds_service.errors import RequestRefused, SettingsInvalid
from cds_service.settings import SIGNING_KEYS
from tests.builders import NOW

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def keys() -> tuple[SigningKey, ...]:
    return fresh_keys(NOW)


def kids(keys: tuple[SigningKey, ...], state: KeyState) -> set[str]:
    return {key.kid for key in keys if key.state is state}


def published(keys: tuple[SigningKey, ...], now: datetime) -> set[str]:
    return {key["kid"] for key in ClientAssertion(lambda: keys, lambda: now).public_jwks()["keys"]}


def test_the_next_key_signs_only_after_it_has_been_published_for_a_day(
    keys: tuple[SigningKey, ...],
) -> None:
    with pytest.raises(RequestRefused, match="2026-01-06"):
        rotated(keys, NOW + DAY - timedelta(seconds=1), compromised=False)

    after = rotated(keys, NOW + DAY, compromised=False)

    assert kids(after, KeyState.CURRENT) == kids(keys, KeyState.NEXT)
    assert kids(after, KeyState.FORMER) == kids(keys, KeyState.CURRENT)
    assert len(kids(after, KeyState.NEXT)) == 2
    assert not kids(after, KeyState.NEXT) & {key.kid for key in keys}


def test_a_former_key_stays_published_for_a_day(keys: tuple[SigningKey, ...]) -> None:
    then = NOW + DAY
    after = rotated(keys, then, compromised=False)
    former = kids(after, KeyState.FORMER)

    assert former <= published(after, then + DAY - timedelta(seconds=1))
    assert not former & published(after, then + DAY)
    assert kids(rotated(after, then + DAY, compromised=False), KeyState.FORMER) == kids(
        after, KeyState.CURRENT
    )


def test_a_compromised_key_is_withdrawn_at_once(keys: tuple[SigningKey, ...]) -> None:
    after = rotated(keys, NOW, compromised=True)

    assert kids(after, KeyState.CURRENT) == kids(keys, KeyState.NEXT)
    assert not published(after, NOW) & kids(keys, KeyState.CURRENT)


@pytest.mark.requirement("@290", "@295")
def test_keys_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    file = SigningKeyFile(tmp_path / "keys.json")

    file.create_if_absent(NOW)
    first = file.read()
    file.create_if_absent(NOW)

    assert SigningKeyFile(tmp_path / "keys.json").read() == first and len(first) == 4
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["keys.json"]
    assert '"d"' not in repr(first)


def test_a_running_process_sees_a_rotation(tmp_path: Path) -> None:
    running, command = (SigningKeyFile(tmp_path / "keys.json") for _ in range(2))
    running.create_if_absent(NOW)
    signer = ClientAssertion(running.read, lambda: NOW)
    signer.sign("sightline", "https://ehr.example.org/token")
    before = running.read()

    command.rotate(NOW + DAY)

    assert kids(running.read(), KeyState.CURRENT) == kids(before, KeyState.NEXT)
    assert stat.S_IMODE((tmp_path / "keys.json").stat().st_mode) == 0o600


def test_the_pem_of_an_older_version_stays_the_current_key(tmp_path: Path) -> None:
    key = ECKey.generate_key("P-384")
    (tmp_path / "signing.pem").write_bytes(key.as_pem(private=True))
    beside, itself = (
        SigningKeyFile(tmp_path / "keys.json"),
        SigningKeyFile(tmp_path / "signing.pem"),
    )

    beside.create_if_absent(NOW)
    (read_only,) = itself.read()
    itself.complete(NOW)

    assert read_only.kid == key.thumbprint() and read_only.algorithm == "ES384"
    for file in (beside, itself):
        assert key.thumbprint() in kids(file.read(), KeyState.CURRENT) and len(file.read()) == 4


@pytest.mark.parametrize(
    "content",
    [
        b"not a key",
        b'{"keys": []}',
        b'{"keys": [{"state": "lost"}]}',
        json.dumps(
            {
                "keys": [
                    {
                        "state": "current",
                        "since": NOW.isoformat(),
                        "jwk": {
                            **ECKey.generate_key("P-384").as_dict(private=False),
                            "alg": "ES384",
                            "kid": "k",
                        },
                    }
                ]
            }
        ).encode(),
        RSAKey.generate_key(2048).as_pem(private=True),
        ECKey.generate_key("P-256").as_pem(private=True),
        ECKey.generate_key("P-384").as_pem(private=False),
    ],
    ids=["text", "empty", "unknown state", "public JWK", "RSA PEM", "another curve", "public PEM"],
)
def test_a_wrong_key_file_stops_the_start(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "keys.json").write_bytes(content)

    with pytest.raises(SettingsInvalid):
        SigningKeyFile(tmp_path / "keys.json").read()


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match=r"SIGHTLINE_SIGNING_KEY_FILE \(.*gone"):
        SigningKeyFile(tmp_path / "gone").read()


def test_a_folder_that_is_not_there_is_said_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / SIGNING_KEYS

    with pytest.raises(SettingsInvalid, match=r"SIGHTLINE_SIGNING_KEY_FILE.*folder must exist"):
        SigningKeyFile(path).create_if_absent(NOW)


def test_the_command_lists_and_rotates(tmp_path: Path) -> None:
    file = SigningKeyFile(tmp_path / SIGNING_KEYS)
    file.create_if_absent(datetime.now(UTC))

    def run(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(main, ["keys", *words, "--data", str(tmp_path)])
        return result.exit_code, result.output

    before = file.read()
    listed, early = run("list"), run("rotate")
    done = run("rotate", "--compromised")

    assert listed[0] == 0 and all(key.kid in listed[1] for key in before)
    assert '"d"' not in listed[1] and listed[1].count("next") == 2
    assert early[0] == 2 and "rotate after" in early[1]
    assert done[0] == 0 and all(kid in done[1] for kid in kids(before, KeyState.NEXT))
    assert os.listdir(tmp_path) == [SIGNING_KEYS]  # noqa: PTH208  names only
