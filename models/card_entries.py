"""Read a parsed model card by dotted paths; what is missing or of the wrong kind is named.

Source: docs/reference/models.md, "The card".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["TO_FILL_IN", "Entries"]

TO_FILL_IN = "FILL IN"  # how a drafted card marks what only people know

LARGEST = 1_000_000_000  # of a number, either way

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Entries:
    """One mapping of a card; `place` is its own path, for messages."""

    entries: dict[str, Any]
    place: str = ""

    def has(self, path: str) -> bool:
        """Tell whether the entry is there."""
        found: Any = self.entries
        for step in path.split("."):
            if not isinstance(found, dict) or step not in found:
                return False
            found = found[step]
        return True

    def get(self, path: str, kind: type[_Value]) -> _Value:
        """Return the entry; a whole number is a float too. Raises ValueError."""
        found: Any = self.entries
        for step in path.split("."):
            if not isinstance(found, dict) or step not in found:
                raise ValueError(f"the model card has no {self._named(path)}")
            found = found[step]
        if type(found) in (int, float):
            found = self._bounded(path, found)
        if kind is float and type(found) is int:
            found = float(found)
        if type(found) is not kind or found == "":
            raise ValueError(f"the model card's {self._named(path)} is not a {kind.__name__}")
        return found

    def optional(self, path: str, kind: type[_Value], otherwise: _Value) -> _Value:
        """Return the entry, or `otherwise` where there is none. Raises ValueError."""
        return self.get(path, kind) if self.has(path) else otherwise

    def one_of(self, path: str, allowed: tuple[str, ...]) -> str:
        """Return one of these words, the first where there is none. Raises ValueError."""
        found = self.optional(path, str, allowed[0])
        if found not in allowed:
            words = ", ".join(allowed)
            raise ValueError(f"the model card's {self._named(path)} is not one of {words}")
        return found

    def texts(self, path: str) -> tuple[str, ...]:
        """Return a list of texts that holds one at least. Raises ValueError."""
        found = self.get(path, list)
        if not found or not all(isinstance(text, str) and text for text in found):
            raise ValueError(f"the model card's {self._named(path)} is not a list of texts")
        return tuple(found)

    def numbers(self, path: str) -> tuple[float, ...]:
        """Return a list of numbers, none where there is no such entry. Raises ValueError."""
        found = self.optional(path, list, [])
        if not all(type(number) in (int, float) for number in found):
            raise ValueError(f"the model card's {self._named(path)} is not a list of numbers")
        return tuple(float(self._bounded(path, number)) for number in found)

    def under(self, path: str) -> Entries:
        """Return the mapping at this path. Raises ValueError."""
        return Entries(self.get(path, dict), self._named(path))

    def each(self, path: str) -> tuple[Entries, ...]:
        """Return the mappings of a list that holds one at least. Raises ValueError."""
        found = self.get(path, list)
        if not found or not all(isinstance(one, dict) for one in found):
            raise ValueError(f"the model card's {self._named(path)} is not a list of mappings")
        name = self._named(path)
        return tuple(Entries(one, f"{name}[{number}]") for number, one in enumerate(found))

    def refuse_gaps(self) -> None:
        """Raise ValueError that names the first entry which a draft left to fill in."""
        gap = next(_gaps(self.entries, self.place), None)
        if gap is not None:
            raise ValueError(f"the model card's {gap} is still to be filled in")

    def _bounded(self, path: str, number: float) -> float:
        if not abs(number) <= LARGEST:  # NaN is in no range
            raise ValueError(f"the model card's {self._named(path)} is not a number of this size")
        return number

    def _named(self, path: str) -> str:
        return f"{self.place}.{path}" if self.place else path


def _gaps(value: object, place: str) -> Iterator[str]:
    """Yield the paths of the texts that are still to be filled in."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _gaps(inner, f"{place}.{name}" if place else str(name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _gaps(inner, f"{place}[{number}]")
    elif isinstance(value, str) and value.startswith(TO_FILL_IN):
        yield place
