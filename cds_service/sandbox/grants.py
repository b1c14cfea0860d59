"""What the authorization server remembers for a while: launches, codes and tokens.

Source: RFC 6749 4.1.2 (codes live shortly and once), SMART App Launch 2.2 (launch context).
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Lock
from typing import Any, Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Launch:
    """Who launches what about whom; `patient` and `encounter` are ids, `user` is "Type/id"."""

    client_id: str
    user: str
    patient: str | None = None
    encounter: str | None = None
    fhir_context: tuple[dict[str, Any], ...] = ()
    app_context: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)  # more of the token response


@dataclass(frozen=True, slots=True)
class Grant:
    """An authorization as it stands behind a code, an access token or a refresh token.

    family       names the authorization everything here descends from
    audience     the FHIR base these tokens are for
    """

    family: str
    client_id: str
    scope: str
    audience: str
    launch: Launch | None = None
    nonce: str | None = None

    @property
    def patient(self) -> str | None:
        """The id of the patient in context."""
        return self.launch.patient if self.launch else None


@dataclass(frozen=True, slots=True)
class AuthorizationCode:
    """A grant that waits to be redeemed by the holder of the PKCE verifier."""

    grant: Grant
    redirect_uri: str
    challenge: str


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A grant in force until `expires_at`."""

    grant: Grant
    issued_at: datetime
    expires_at: datetime


class Expiring(Generic[T]):
    """Values under unguessable keys that are forgotten after their life. Thread-safe."""

    def __init__(self, now: Callable[[], datetime], life: timedelta) -> None:
        self.life = life
        self._now = now
        self._lock = Lock()
        self._held: dict[str, tuple[datetime, T]] = {}

    def keep(self, value: T) -> str:
        """Keep a value and return its new key (256 random bits)."""
        key = secrets.token_urlsafe(32)
        self.keep_once(key, value)
        return key

    def keep_once(self, key: str, value: T) -> bool:
        """Keep a value under this key; return False, and keep nothing, if the key is held."""
        with self._lock:
            moment = self._now()
            self._held = {k: held for k, held in self._held.items() if held[0] > moment}
            if key in self._held:
                return False
            self._held[key] = (moment + self.life, value)
            return True

    def get(self, key: str) -> T | None:
        """Return the value while it lives, else None."""
        with self._lock:
            return self._living(self._held.get(key))

    def take(self, key: str) -> T | None:
        """Return the value while it lives, once: the key is forgotten."""
        with self._lock:
            return self._living(self._held.pop(key, None))

    def forget(self, unwanted: Callable[[T], bool]) -> None:
        """Forget every value of which `unwanted` holds."""
        with self._lock:
            self._held = {k: held for k, held in self._held.items() if not unwanted(held[1])}

    def _living(self, held: tuple[datetime, T] | None) -> T | None:
        return held[1] if held and held[0] > self._now() else None
