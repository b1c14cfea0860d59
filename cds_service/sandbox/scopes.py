"""SMART scopes: what a client may ask for, what it is granted, and what a token may do.

Source: SMART App Launch 2.2 "Scopes and Launch Context" (v2 `.cruds`, v1 `.read .write .*`).
A scope with a query (`.rs?category=...`) is not granted: we could not hold a client to it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from cds_service.sandbox.outcomes import ScopeDenied

Letter = Literal["c", "r", "u", "d", "s"]

NOT_RESOURCES = frozenset(
    {
        *("launch", "launch/patient", "launch/encounter", "openid", "fhirUser"),
        *("online_access", "offline_access"),
    }
)
# Not in the Patient compartment, but named by what is: a patient's app may read them.
OPEN_TYPES = frozenset({"Device", "Endpoint", "Practitioner"})

_SCOPE = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]+)\.([a-z]+|\*)")
_V1_LETTERS = {"read": "rs", "write": "cud", "*": "cruds"}
_V2_LETTERS = re.compile(r"(?=.)c?r?u?d?s?")


@dataclass(frozen=True, slots=True)
class Scope:
    """A resource scope; `letters` is a subset of "cruds", in that order."""

    level: str
    type: str
    letters: str

    def covers(self, type_: str, letter: str) -> bool:
        """Tell whether this scope allows one interaction on one type."""
        return self.type in ("*", type_) and letter in self.letters

    def common_with(self, other: "Scope") -> "Scope | None":
        """Return what both scopes allow, or None."""
        letters = "".join(letter for letter in self.letters if letter in other.letters)
        if self.level != other.level or not letters:
            return None
        if self.type == other.type or other.type == "*":
            return Scope(self.level, self.type, letters)
        return Scope(self.level, other.type, letters) if self.type == "*" else None

    def __str__(self) -> str:
        return f"{self.level}/{self.type}.{self.letters}"


def parse_scope(text: str) -> Scope | None:
    """Return the resource scope, v1 or v2, or None when `text` is not one we understand."""
    match = _SCOPE.fullmatch(text)
    if match is None:
        return None
    level, type_, permission = match.groups()
    letters = _V1_LETTERS.get(permission, permission)
    return Scope(level, type_, letters) if _V2_LETTERS.fullmatch(letters) else None


def granted(requested: str, registered: str, levels: frozenset[str]) -> str:
    """Return the part of the requested scopes that the registration and the levels allow.

    levels   "patient", "user" for an app, "system" for a backend service
    A scope allowed in full comes back as it was written, else its allowed part in v2 syntax.
    """
    allowed = [scope for scope in map(parse_scope, registered.split()) if scope]
    answer: dict[str, None] = {}
    for text in requested.split():
        scope = parse_scope(text)
        if text in NOT_RESOURCES and text in registered.split() and "system" not in levels:
            answer[text] = None
        elif scope is not None and scope.level in levels:
            common = [part for other in allowed if (part := scope.common_with(other))]
            answer |= {text if part == scope else str(part): None for part in common}
    return " ".join(answer)


@dataclass(frozen=True, slots=True)
class Access:
    """What one token may do: its scopes and, for `patient/` scopes, the one patient's id."""

    scope: str
    patient: str | None

    def confinement(self, letter: Letter, type_: str) -> str | None:
        """Return the reference of the only patient this interaction may touch; None = any.

        Raises ScopeDenied when no scope allows the interaction.
        """
        levels = {scope.level for scope in self._resource_scopes() if scope.covers(type_, letter)}
        if levels & {"user", "system"}:
            return None
        if "patient" not in levels or self.patient is None:
            raise ScopeDenied(f"no granted scope allows {letter!r} on {type_}")
        if type_ in OPEN_TYPES:
            if letter in "rs":
                return None
            raise ScopeDenied(f"{type_} cannot be written with a patient's scope")
        return f"Patient/{self.patient}"

    def _resource_scopes(self) -> Iterator[Scope]:
        return (scope for scope in map(parse_scope, self.scope.split()) if scope)
