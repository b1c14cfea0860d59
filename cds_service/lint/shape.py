"""The rules that the table of fields implies: missing, of another type, unknown, too new, empty.

Source: CDS Hooks 2.0 "JSON" (ch2:3), "Extensions" (ch2:214), and the attribute tables.
"""

from collections.abc import Iterator, Mapping
from difflib import get_close_matches

from cds_service.lint.fields import EXTENSION, FIELDS, Element, Field, Shape
from cds_service.lint.target import Breach, Level, Target, pointer_to
from cds_service.lint.tree import Json, Node

MAY_BE_EMPTY = {"/cards", "/services", "/feedback"}


def misshapen(node: Node, target: Target) -> Iterator[Breach]:
    """Yield what is wrong with one object's fields, each by itself."""
    known = [field for field in FIELDS[node.element] if field.dialect in (None, target.dialect)]
    for field in (*known, EXTENSION):
        yield from _judge(node, field, target)
    names = {field.name for field in known} | {EXTENSION.name}
    for name in node.value:
        if name not in names:
            yield _unknown(node, name, names)


def empty_values(document: Json) -> Iterator[Breach]:
    """Yield every null and every empty string, array and object that the standard forbids."""
    for pointer, value in _empties(document, "", None):
        yield Breach(
            "ch2:3",
            Level.BREACH,
            pointer,
            f"The value is {_json_name(value)}; JSON elements are never null or empty.",
            "Leave the field out.",
        )


def _judge(node: Node, field: Field, target: Target) -> Iterator[Breach]:
    place = pointer_to(node.pointer, field.name)
    if field.name not in node.value:
        if field.need is not None and field.since <= target.version:
            yield Breach(
                field.requirement,
                field.need,
                node.pointer,
                f"The {node.element} has no '{field.name}'.",
                f"Add '{field.name}': {_words(field)}.",
            )
        return
    if field.since > target.version:
        yield Breach(
            target.version.value,
            Level.ADVICE,
            place,
            f"'{field.name}' came with {field.since}; a client of {target.version} ignores it.",
            "Leave it out for this client, and let nothing depend on it.",
        )
    value = node.value[field.name]
    if value is None:
        return  # reported once, as empty
    for pointer in _of_another_type(field, value, place):
        yield Breach(
            field.requirement,
            Level.BREACH,
            pointer,
            f"'{field.name}' is not {_words(field)}.",
            f"Send {_words(field)}, or leave the field out if it is optional.",
        )


def _of_another_type(field: Field, value: object, place: str) -> list[str]:
    """Return the pointers of what is of another type than the field holds."""
    if field.many:
        if not isinstance(value, list):
            return [place]
        return [
            pointer_to(place, position)
            for position, member in enumerate(value)
            if not isinstance(member, Mapping) and member is not None
        ]
    if field.holds is Shape.TEXTS and isinstance(value, Mapping):
        return [
            pointer_to(place, key)
            for key, text in value.items()
            if not isinstance(text, str) and text is not None
        ]
    return [] if _fits(field.holds, value) else [place]


def _fits(holds: Shape | Element, value: object) -> bool:
    match holds:
        case Shape.ANY:
            return True
        case Shape.TEXT:
            return isinstance(value, str)
        case Shape.BOOLEAN:
            return isinstance(value, bool)
        case _:
            return isinstance(value, Mapping)


def _words(field: Field) -> str:
    if isinstance(field.holds, Shape):
        return field.holds.value
    what = f"{field.holds} object"
    return f"an array of {what}s" if field.many else f"a {what}"


def _unknown(node: Node, name: str, known: set[str]) -> Breach:
    by_lower = {one.lower(): one for one in known}
    close = get_close_matches(name.lower(), by_lower, n=1, cutoff=0.8)
    meant = f"Did you mean '{by_lower[close[0]]}'? " if close else ""
    return Breach(
        "ch2:214",
        Level.ADVICE,
        pointer_to(node.pointer, name),
        f"'{name}' is no field of a {node.element}; clients ignore it.",
        f"{meant}Data of your own belongs into 'extension', under a reverse-domain name.",
    )


def _empties(value: object, pointer: str, sibling: object) -> Iterator[tuple[str, object]]:
    """Walk a value; `sibling` is FHIR's `_name` beside it, which gives nulls a meaning."""
    if value is None or (value in ("", [], {}) and pointer not in MAY_BE_EMPTY):
        yield pointer, value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _empties(one, pointer_to(pointer, name), _partner(value, name))
    elif isinstance(value, list):
        for position, one in enumerate(value):
            if one is not None or sibling is None:
                yield from _empties(one, pointer_to(pointer, position), None)


def _partner(holder: Json, name: str) -> object:
    """Return the other half of a FHIR primitive: arrays pad each other with null (R4 JSON)."""
    return holder.get(name.removeprefix("_") if name.startswith("_") else f"_{name}")


def _json_name(value: object) -> str:
    if value is None:
        return "null"
    return {"": "an empty string", "[]": "an empty array"}.get(str(value), "an empty object")
