"""A document as the objects it consists of, each with its place.

Source: JSON Pointer (RFC 6901).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cds_service.lint.fields import FIELDS, ROOTS, Element
from cds_service.lint.target import Kind, pointer_to

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """One object of the standard, where it stands, and the object that holds it."""

    element: Element
    pointer: str
    value: Json
    parent: "Node | None" = None

    def text(self, name: str) -> str:
        """Return a field that is a string, else an empty one: its type is another rule's matter."""
        value = self.value.get(name)
        return value if isinstance(value, str) else ""

    def objects(self, name: str) -> list[tuple[int, Json]]:
        """Return the objects of an array with their positions; nothing if it is no array."""
        value = self.value.get(name)
        members = value if isinstance(value, list) else []
        return [(n, member) for n, member in enumerate(members) if isinstance(member, Mapping)]


def nodes(document: Json, kind: Kind) -> Iterator[Node]:
    """Yield the document and every object in it that the standard names, outer ones first."""
    waiting = [Node(ROOTS[kind], "", document)]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(reversed(list(_children(node))))


def _children(node: Node) -> Iterator[Node]:
    for field in FIELDS[node.element]:
        if not isinstance(field.holds, Element):
            continue
        value = node.value.get(field.name)
        if not field.many and isinstance(value, Mapping):
            yield Node(field.holds, pointer_to(node.pointer, field.name), value, node)
        elif field.many:
            for position, member in node.objects(field.name):
                place = pointer_to(node.pointer, field.name, position)
                yield Node(field.holds, place, member, node)
