"""What is checked against what, and what a check says.

Source: CDS Hooks 2.0; JSON Pointer (RFC 6901).
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The three documents that can be checked."""

    DISCOVERY = "discovery"
    RESPONSE = "response"
    FEEDBACK = "feedback"


class Version(StrEnum):
    """A version of CDS Hooks; they compare in order of publication."""

    V1 = "1.0"
    V2 = "2.0"
    V3 = "3.0"


class Dialect(StrEnum):
    """What one vendor asks for beyond the standard, or does not take."""

    EPIC = "epic"
    ORACLE = "oracle"


class Level(StrEnum):
    """A broken SHALL is a breach; a SHOULD that is not followed is advice."""

    BREACH = "breach"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True)
class Target:
    """The document's kind, the version it is for, and a vendor's dialect."""

    kind: Kind
    version: Version = Version.V2
    dialect: Dialect | None = None


@dataclass(frozen=True, slots=True)
class Breach:
    """One place that breaks one rule; `pointer` is a JSON Pointer, empty for the whole."""

    requirement: str
    level: Level
    pointer: str
    problem: str
    fix: str


def pointer_to(parent: str, *steps: str | int) -> str:
    """Append steps to a JSON Pointer."""
    escaped = (str(step).replace("~", "~0").replace("/", "~1") for step in steps)
    return "".join((parent, *(f"/{step}" for step in escaped)))
