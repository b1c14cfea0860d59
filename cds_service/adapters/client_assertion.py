"""Our client assertions: how Sightline proves to a token endpoint who it is.

Source: SMART App Launch 2.2 "Asymmetric Client Authentication" (exp at most 5 minutes, fresh
jti, ES384); RFC 7523; RFC 7638 (the kid is the key's thumbprint).
"""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from cds_service.errors import SettingsInvalid

ALGORITHM = "ES384"
CURVE = "P-384"
LIFETIME_S = 240
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def load_or_create_signing_key(path: Path) -> bytes:
    """Return the PEM at `path`; make an EC P-384 key there, mode 0600, when there is none.

    Safe when several processes start at once: the first one's key is everybody's.
    """
    if not path.exists():
        pem = ECKey.generate_key(CURVE).as_pem(private=True)
        draft = path.with_name(f".{path.name}.{uuid4().hex}")
        draft.touch(mode=0o600)
        draft.write_bytes(pem)
        try:
            os.link(draft, path)  # atomic, and fails where another process was first
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_bytes()


class ClientAssertion:
    """Signs assertions with one key, and publishes its public half."""

    def __init__(
        self, signing_key_pem: bytes, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Raise SettingsInvalid when the PEM is not a private EC P-384 key."""
        try:
            self._key = ECKey.import_key(signing_key_pem)
        except (ValueError, JoseError) as error:
            raise SettingsInvalid("The signing key is not an EC key in PEM form.") from error
        if not self._key.is_private or self._key.curve_name != CURVE:
            raise SettingsInvalid("The signing key is not a private EC P-384 key.")
        self._kid = self._key.thumbprint()
        self._clock = clock

    def sign(self, client_id: str, token_url: str) -> str:
        """Return a fresh assertion of `client_id` for this token endpoint and no other."""
        now = int(self._clock().timestamp())
        claims = {
            "iss": client_id,
            "sub": client_id,
            "aud": token_url,
            "iat": now,
            "exp": now + LIFETIME_S,
            "jti": str(uuid4()),
        }
        header = {"alg": ALGORITHM, "kid": self._kid, "typ": "JWT"}
        return jwt.encode(header, claims, self._key, algorithms=[ALGORITHM])

    def public_jwks(self) -> dict[str, Any]:
        """Return the JWK Set to publish; it never holds the private half."""
        public = self._key.as_dict(private=False)
        return {"keys": [{**public, "kid": self._kid, "alg": ALGORITHM, "use": "sig"}]}
