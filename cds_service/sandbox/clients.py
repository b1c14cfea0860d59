"""The clients registered with the authorization server, and where their public keys are.

Source: SMART App Launch 2.2, "Support for public and confidential apps", "Client Authentication:
Asymmetric" (JWKS by URL preferred).
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, cast

import requests
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet, KeySetSerialization

_TIMEOUT_S = 5.0
_JWKS_LIMIT = 65_536  # bytes
_CACHE_S = 300.0
_REFETCH_PAUSE_S = 5.0  # an unknown kid may be a new key, or somebody guessing


@dataclass(frozen=True, slots=True)
class Client:
    """One registered client, of one of three kinds.

    Asymmetric: its keys are known by `jwks_url`, or once and for all by `jwks`. Symmetric: it has
    a `secret`. Public: it has none of them.
    """

    client_id: str
    redirect_uris: tuple[str, ...]
    scopes: str
    jwks_url: str | None = None
    jwks: KeySetSerialization | None = None
    secret: str | None = field(default=None, repr=False)

    @property
    def is_public(self) -> bool:
        """Whether nothing but its redirect_uri and PKCE tell this client from another."""
        return self.jwks_url is None and self.jwks is None and self.secret is None


class ClientRegistry:
    """Clients by id, with a cache of their key sets. Thread-safe."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._lock = Lock()
        self._clients: dict[str, Client] = {}
        self._fetched: dict[str, tuple[float, KeySet | None]] = {}

    def register(self, client: Client) -> None:
        """Add a client, or replace the one of that id."""
        with self._lock:
            self._clients[client.client_id] = client
            self._fetched.pop(client.client_id, None)

    def get(self, client_id: str) -> Client | None:
        """Return the client of that id, or None."""
        return self._clients.get(client_id)

    def key(self, client: Client, kid: str) -> Key | None:
        """Return the client's public key of that id, fetching its key set when needed."""
        if client.jwks is not None:
            return _key_of(KeySet.import_key_set(client.jwks), kid)
        with self._lock:
            fetched_at, keys = self._fetched.get(client.client_id, (float("-inf"), None))
            age = self._monotonic() - fetched_at
            key = _key_of(keys, kid)
            if (key is None and age > _REFETCH_PAUSE_S) or age > _CACHE_S:
                keys = _fetch(client.jwks_url or "")
                self._fetched[client.client_id] = (self._monotonic(), keys)
                key = _key_of(keys, kid)
            return key


def _key_of(keys: KeySet | None, kid: str) -> Key | None:
    return next((key for key in keys or [] if key.kid == kid), None)


def _fetch(url: str) -> KeySet | None:
    """Return the key set at a registered URL, or None when there is no usable one."""
    try:
        with requests.get(
            url,
            headers={"Accept": "application/json"},
            timeout=_TIMEOUT_S,
            allow_redirects=False,
            stream=True,
        ) as response:
            if response.status_code != requests.codes.ok:
                return None
            response.raw.decode_content = True
            body: Any = response.raw.read(_JWKS_LIMIT)
        document = json.loads(body)
        return KeySet.import_key_set(cast(KeySetSerialization, document))
    except (requests.RequestException, JoseError, ValueError, KeyError, TypeError):
        return None
