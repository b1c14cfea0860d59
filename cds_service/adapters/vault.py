"""The vault: seals tokens and patients' facts, each for one tenant and one purpose.

AES-256-GCM with a key per tenant (HKDF-SHA-256 from the master key); purpose and tenant are
authenticated, so that a sealed value opens nowhere else. People are known by keyed hashes only.

Source: NIST SP 800-38D; RFC 5869; architecture "Tokens live sealed".
"""

import hmac
import os
import secrets
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cds_service.errors import SettingsInvalid, SightlineError

KEY_BYTES = 32
NONCE_BYTES = 12  # SP 800-38D 8.2.2: random, 96 bits
VERSION = b"\x01"  # of the sealed form: version, nonce, ciphertext with tag


class Vault:
    """Seals and opens with one master key of 32 bytes."""

    def __init__(self, master_key: bytes) -> None:
        if len(master_key) != KEY_BYTES:
            raise SettingsInvalid(f"The master key must be {KEY_BYTES} bytes.")
        self._master_key = master_key

    def seal(self, purpose: str, tenant_id: str, plaintext: bytes) -> bytes:
        """Return the sealed form; twice the same plaintext gives two different forms."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        cipher = self._cipher(tenant_id)
        return VERSION + nonce + cipher.encrypt(nonce, plaintext, _bound_to(purpose, tenant_id))

    def open(self, purpose: str, tenant_id: str, sealed: bytes) -> bytes:
        """Return the plaintext; raise SightlineError when anything does not fit."""
        version, nonce = sealed[:1], sealed[1 : 1 + NONCE_BYTES]
        try:
            if version != VERSION or len(nonce) != NONCE_BYTES:
                raise InvalidTag
            return self._cipher(tenant_id).decrypt(
                nonce, sealed[1 + NONCE_BYTES :], _bound_to(purpose, tenant_id)
            )
        except InvalidTag:
            raise SightlineError(
                "A sealed value cannot be opened: it was changed, or the master key was."
            ) from None

    def pseudonym(self, purpose: str, tenant_id: str, text: str) -> str:
        """Return a keyed hash of a text, 64 hex digits: the same for the same three arguments."""
        info = b"sightline pseudonym key\x00" + _bound_to(purpose, tenant_id)
        key = HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(self._master_key)
        return hmac.digest(key, text.encode(), "sha256").hex()

    def _cipher(self, tenant_id: str) -> AESGCM:
        info = b"sightline tenant key\x00" + tenant_id.encode()
        return AESGCM(HKDF(SHA256(), KEY_BYTES, salt=None, info=info).derive(self._master_key))


def load_or_create_key(path: Path) -> bytes:
    """Read the master key, or draw one and write it for this user only (mode 0600).

    Several processes may call it at once: all return the same key.
    Raises SettingsInvalid when the file cannot be used.
    """
    try:
        if not path.exists():
            _create(path)
        key = path.read_bytes()
    except OSError as error:
        raise SettingsInvalid(
            f"SIGHTLINE_MASTER_KEY_FILE ({path}) cannot be used: {error.strerror}. "
            "This account must read it, or make it where it is absent: its folder must exist."
        ) from None
    if len(key) != KEY_BYTES:
        raise SettingsInvalid(
            f"SIGHTLINE_MASTER_KEY_FILE ({path}) must hold {KEY_BYTES} bytes, it holds {len(key)}."
        )
    return key


def _create(path: Path) -> None:
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".key-")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: the first of several processes wins, the others read its key.
        os.link(draft, path)
    except FileExistsError:
        return
    finally:
        Path(draft).unlink()


def _bound_to(purpose: str, tenant_id: str) -> bytes:
    return f"{len(purpose)}:{purpose}{tenant_id}".encode()
