"""The certificate of a client that the proxy in front of us has checked, from the proxy's header.

Source: nginx `$ssl_client_escaped_cert` (PEM, URL-encoded); RFC 9440 has another form, which no
proxy of ours speaks yet.
"""

from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

_LIMIT = 16 * 1024  # characters


def certificate_digest(header: str) -> str | None:
    """Return the SHA-256 of the certificate, 64 hex digits; None when the header holds none."""
    if not 0 < len(header) <= _LIMIT:
        return None
    return pem_digest(unquote(header).encode())


def pem_digest(pem: bytes) -> str | None:
    """Return the SHA-256 of the first certificate of a PEM text; None when there is none."""
    try:
        return x509.load_pem_x509_certificate(pem).fingerprint(SHA256()).hex()
    except ValueError:
        return None
