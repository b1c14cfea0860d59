"""What kind of client Sightline is at an EHR, and what it may sign its assertions with.

Source: SMART App Launch 2.2 "Support for public and confidential apps", "Asymmetric Client
Authentication" (RS384 and ES384), "Symmetric Client Authentication".
"""

from collections.abc import Collection
from enum import StrEnum

ASSERTION_ALGORITHMS = ("ES384", "RS384")  # the first that a server accepts is used


class ClientKind(StrEnum):
    """How Sightline proves at a token endpoint who it is."""

    ASYMMETRIC = "asymmetric"  # private_key_jwt
    SYMMETRIC = "symmetric"  # client_secret_basic
    PUBLIC = "public"  # not at all: PKCE alone binds the code


def assertion_algorithm(offered: Collection[str]) -> str | None:
    """Return what to sign with; `offered` empty means that the server does not say.

    None when the server accepts neither RS384 nor ES384.
    """
    return next((name for name in ASSERTION_ALGORITHMS if not offered or name in offered), None)
