"""Our signing keys: the current one of each algorithm, the next one, and those just replaced.

A key is published for a day before it signs, so that an EHR which keeps our key set for hours
knows it by then, and for a day after, so that nothing that is on its way is refused.

Source: SMART App Launch 2.2 "Registering a client" (JWK Set); RFC 7517; RFC 7638 (kid).
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from joserfc.errors import JoseError
from joserfc.jwk import DictKey, ECKey, Key, RSAKey, import_key

from cds_service.domain.smart_client import ASSERTION_ALGORITHMS
from cds_service.errors import RequestRefused, SettingsInvalid

CURVE = "P-384"
RSA_BITS = 3072
PUBLISHED_BEFORE = timedelta(days=1)
PUBLISHED_AFTER = timedelta(days=1)
LEGACY_NAME = "signing.pem"  # one EC key, as versions before key rotation wrote it


class KeyState(StrEnum):
    """Where a key is in its life; all of them are published."""

    NEXT = "next"
    CURRENT = "current"
    FORMER = "former"


@dataclass(frozen=True, slots=True)
class SigningKey:
    """One private key."""

    state: KeyState
    since: datetime  # in this state, aware
    jwk: Mapping[str, Any] = field(repr=False)

    @property
    def algorithm(self) -> str:
        """ES384 or RS384."""
        return str(self.jwk["alg"])

    @property
    def kid(self) -> str:
        """The key's thumbprint."""
        return str(self.jwk["kid"])

    def load(self) -> Key:
        """Return the key, ready to sign."""
        return import_key(cast(DictKey, dict(self.jwk)))

    def public(self) -> dict[str, Any]:
        """Return the JWK to publish."""
        return {**self.load().as_dict(private=False), "use": "sig"}

    def is_over(self, now: datetime) -> bool:
        """Whether nobody needs this key any more."""
        return self.state is KeyState.FORMER and self.since + PUBLISHED_AFTER <= now


def fresh_keys(now: datetime, held: Sequence[SigningKey] = ()) -> tuple[SigningKey, ...]:
    """Return `held` with what it lacks: a current and a next key of each algorithm."""
    have = {(key.state, key.algorithm) for key in held}
    wanted = [(state, alg) for state in (KeyState.CURRENT, KeyState.NEXT) for alg in _MAKERS]
    made = (
        SigningKey(state, now, _MAKERS[alg]()) for state, alg in wanted if (state, alg) not in have
    )
    return (*held, *made)


def rotated(
    held: Sequence[SigningKey], now: datetime, *, compromised: bool
) -> tuple[SigningKey, ...]:
    """Return the keys after a rotation: next becomes current, current former, and a new next.

    compromised   do not wait for the next keys' day, and withdraw the others at once

    Raises RequestRefused while a next key has not been published for a day.
    """
    coming = [key for key in held if key.state is KeyState.NEXT]
    ready_at = max((key.since + PUBLISHED_BEFORE for key in coming), default=now)
    if ready_at > now and not compromised:
        raise RequestRefused(
            f"The next keys have been published for less than a day; rotate after "
            f"{ready_at:%Y-%m-%d %H:%M} UTC."
        )
    kept = [SigningKey(KeyState.CURRENT, now, key.jwk) for key in coming]
    if not compromised:
        replaced = {key.algorithm for key in coming}
        for key in held:
            if key.state is KeyState.FORMER and not key.is_over(now):
                kept.append(key)
            elif key.state is KeyState.CURRENT and key.algorithm in replaced:
                kept.append(SigningKey(KeyState.FORMER, now, key.jwk))
            elif key.state is KeyState.CURRENT:
                kept.append(key)
    return fresh_keys(now, kept)


class SigningKeyFile:
    """The keys of an installation in a file that only its owner reads.

    Every process reads the file again when it has changed, so a rotation needs no restart. A PEM
    with one EC P-384 key, as earlier versions wrote it, is read as a current ES384 key.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None
        self._keys: tuple[SigningKey, ...] = ()

    def read(self) -> tuple[SigningKey, ...]:
        """Return the keys; raise SettingsInvalid when the file holds none."""
        try:
            facts = self._path.stat()
            seen = (facts.st_mtime_ns, facts.st_ino)
            if seen != self._seen:
                self._keys, self._seen = _parsed(self._path.read_bytes(), facts.st_mtime), seen
        except OSError as error:
            raise SettingsInvalid(
                f"SIGHTLINE_SIGNING_KEY_FILE ({self._path}) cannot be read: {error.strerror}."
            ) from None
        return self._keys

    def create_if_absent(self, now: datetime) -> None:
        """Make the keys where there are none; the first of several processes wins.

        A PEM of an earlier version beside it becomes the current ES384 key.
        """
        if self._path.exists():
            return
        former = self._path.with_name(LEGACY_NAME)
        held = _parsed(former.read_bytes(), former.stat().st_mtime) if former.is_file() else ()
        draft = self._draft(fresh_keys(now, held))
        try:
            os.link(draft, self._path)  # atomic, and fails where another process was first
        except FileExistsError:
            pass
        finally:
            draft.unlink()

    def complete(self, now: datetime) -> None:
        """Add what is missing, as after reading a PEM."""
        held = self.read()
        whole = fresh_keys(now, held)
        if whole != held:
            self._draft(whole).replace(self._path)

    def rotate(self, now: datetime, *, compromised: bool = False) -> None:
        """Rotate; raise RequestRefused when it is too early."""
        self._draft(rotated(self.read(), now, compromised=compromised)).replace(self._path)

    def _draft(self, keys: Sequence[SigningKey]) -> Path:
        document = [
            {"state": key.state.value, "since": key.since.isoformat(), "jwk": dict(key.jwk)}
            for key in keys
        ]
        draft = self._path.with_name(f".{self._path.name}.{uuid4().hex}")
        try:
            draft.touch(mode=0o600)
            draft.write_text(json.dumps({"keys": document}), encoding="utf-8")
        except OSError as error:
            raise SettingsInvalid(
                f"SIGHTLINE_SIGNING_KEY_FILE ({self._path}) cannot be written: {error.strerror}. "
                "Its folder must exist and let this account write."
            ) from None
        return draft


def _parsed(content: bytes, modified: float) -> tuple[SigningKey, ...]:
    if content.lstrip().startswith(b"-----BEGIN"):
        return (
            SigningKey(KeyState.CURRENT, datetime.fromtimestamp(modified, UTC), _of_pem(content)),
        )
    try:
        keys = tuple(
            SigningKey(KeyState(one["state"]), datetime.fromisoformat(one["since"]), one["jwk"])
            for one in json.loads(content)["keys"]
        )
        for key in keys:
            if key.algorithm not in ASSERTION_ALGORITHMS or not key.load().is_private:
                raise ValueError(key.algorithm)
    except (ValueError, KeyError, TypeError, JoseError) as error:
        raise SettingsInvalid("The signing key file holds no keys of ours.") from error
    if not any(key.state is KeyState.CURRENT for key in keys):
        raise SettingsInvalid("The signing key file holds no current key.")
    return keys


def _of_pem(content: bytes) -> dict[str, Any]:
    try:
        key = ECKey.import_key(content)
    except (ValueError, JoseError) as error:
        raise SettingsInvalid("The signing key is not an EC key in PEM form.") from error
    if not key.is_private or key.curve_name != CURVE:
        raise SettingsInvalid("The signing key is not a private EC P-384 key.")
    return _jwk(key, "ES384")


def _jwk(key: ECKey | RSAKey, algorithm: str) -> dict[str, Any]:
    return {**key.as_dict(private=True), "alg": algorithm, "kid": key.thumbprint()}


_MAKERS = {
    "ES384": lambda: _jwk(ECKey.generate_key(CURVE), "ES384"),
    "RS384": lambda: _jwk(RSAKey.generate_key(RSA_BITS), "RS384"),
}
