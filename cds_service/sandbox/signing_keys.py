"""The sandbox's own keys: ES384 signs hook calls, RS256 signs id_tokens.

Source: CDS Hooks 2.0 "Trusting CDS Clients"; OpenID Connect Core 15.1 (RS256); RFC 7517.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import DictKey, ECKey, Key, RSAKey, import_key

_FILE_MODE = 0o600
_PUBLIC_MEMBERS = frozenset({"kty", "use", "alg", "kid", "crv", "x", "y", "n", "e"})


class SigningKeys:
    """One key per algorithm, made at the first start and kept in a file only we may read."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            _write_private(path, [_new_ec_key(), _new_rsa_key()])
        held = json.loads(path.read_text())["keys"]
        self._documents: dict[str, DictKey] = {key["alg"]: key for key in held}
        self._loaded: dict[str, Key] = {}

    def public_jwks(self) -> dict[str, list[DictKey]]:
        """Return the JWK Set to publish: no private member in it."""
        return {
            "keys": [
                {name: value for name, value in document.items() if name in _PUBLIC_MEMBERS}
                for document in self._documents.values()
            ]
        }

    def sign(self, alg: str, claims: Mapping[str, Any], **header: str) -> str:
        """Return a signed JWT with alg, kid, typ and further header members."""
        if alg not in self._loaded:  # checking an RSA key takes 30 ms: only when it signs
            self._loaded[alg] = import_key(self._documents[alg])
        key = self._loaded[alg]
        full_header = {"alg": alg, "kid": key.kid, "typ": "JWT", **header}
        return jwt.encode(full_header, dict(claims), key, algorithms=[alg])


def _new_ec_key() -> ECKey:
    return ECKey.generate_key("P-384", {"use": "sig", "alg": "ES384"}, auto_kid=True)


def _new_rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)


def _write_private(path: Path, keys: list[ECKey | RSAKey]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    document = json.dumps({"keys": [key.as_dict(private=True) for key in keys]})
    fresh = path.with_suffix(".part")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE), "w") as file:
        file.write(document)
    fresh.replace(path)
