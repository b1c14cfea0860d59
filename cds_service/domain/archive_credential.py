"""How Sightline shows an archive who it is, where that is not by its token of the EHR.

Source: RFC 7617 (Basic), RFC 6750 2.1 (Bearer), RFC 6749 4.4 (client credentials).
"""

from dataclasses import dataclass, field
from enum import StrEnum


class AccessKind(StrEnum):
    """What goes with each request; the value stands in the ledger and on the command line."""

    BASIC = "basic"  # a user and a password
    BEARER = "bearer"  # a token that stays the same
    CLIENT_CREDENTIALS = "client-credentials"  # a token that a token endpoint gives for a while


@dataclass(frozen=True, slots=True)
class ArchiveCredential:
    """What is sent to the origin of one registered archive or change feed, and nowhere else."""

    base: str  # as the registration names the archive or the feed
    kind: AccessKind
    sealed: bytes = field(repr=False)  # password, token, or secret of the client
    name: str = ""  # user, or client id
    token_url: str | None = None  # of client credentials only, as is the scope
    scope: str = ""

    def __post_init__(self) -> None:
        if (self.kind is AccessKind.CLIENT_CREDENTIALS) != (self.token_url is not None):
            raise ValueError("client credentials have a token endpoint, and nothing else has")
