"""Our client assertions: how Sightline proves to a token endpoint who it is.

Source: SMART App Launch 2.2 "Asymmetric Client Authentication" (exp at most 5 minutes, fresh
jti, RS384 and ES384); RFC 7523; RFC 7638 (the kid is the key's thumbprint).
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import Key

from cds_service.adapters.signing_keys import KeyState, SigningKey
from cds_service.errors import SettingsInvalid

LIFETIME_S = 240
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class ClientAssertion:
    """Signs assertions with the current keys, and publishes the public half of all."""

    def __init__(
        self,
        keys: Callable[[], Sequence[SigningKey]],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`keys` is asked each time, so that a rotation takes effect at once."""
        self._keys, self._clock = keys, clock
        self._loaded: dict[str, Key] = {}  # by kid: checking an RSA key takes 30 ms

    def sign(self, client_id: str, token_url: str, algorithm: str = "ES384") -> str:
        """Return a fresh assertion of `client_id` for this token endpoint and no other.

        Raises SettingsInvalid when there is no key of this algorithm.
        """
        chosen = self._current(algorithm)
        now = int(self._clock().timestamp())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": token_url,
            "iat": now,
            "exp": now + LIFETIME_S,
            "jti": str(uuid4()),
        }
        header = {"alg": algorithm, "kid": chosen.kid, "typ": "JWT"}
        if chosen.kid not in self._loaded:
            self._loaded[chosen.kid] = chosen.load()
        return jwt.encode(header, claims, self._loaded[chosen.kid], algorithms=[algorithm])

    def public_jwks(self) -> dict[str, Any]:
        """Return the JWK Set to publish; it never holds a private half."""
        now = self._clock()
        return {"keys": [key.public() for key in self._keys() if not key.is_over(now)]}

    def _current(self, algorithm: str) -> SigningKey:
        for key in self._keys():
            if key.state is KeyState.CURRENT and key.algorithm == algorithm:
                return key
        raise SettingsInvalid(f"There is no {algorithm} signing key: run `sightline upgrade`.")
