"""What the sandbox takes as a valid resource.

fhir.resources 8.3.0 accepts `status: "bogus"`, empty objects, "true" for true and 0 for a date,
so required bindings and the rules of FHIR's JSON are checked on top.

Source: FHIR R4 (4.0.1) json.html; required bindings from each resource page.
"""

import json
from collections.abc import Iterator

from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from cds_service.sandbox.fhir_types import REQUIRED_CODES, require_type, values_at
from cds_service.sandbox.outcomes import InvalidResource, Resource


def validate(resource: object) -> Resource:
    """Return the resource, known to be valid FHIR R4 of a type held here.

    Raises InvalidResource with the path that is wrong (never its value), or UnsupportedType.
    """
    if not isinstance(resource, dict) or not isinstance(resource.get("resourceType"), str):
        raise InvalidResource("a FHIR resource is a JSON object with a resourceType")
    type_ = require_type(resource["resourceType"])
    for path in _empty_values(resource, type_):
        raise InvalidResource(f"{path} is empty; leave it out", [path])
    for path in _wrong_kinds(resource, _as_understood(resource, type_), type_):
        raise InvalidResource(f"{path} is of the wrong JSON type", [path])
    for path, allowed in REQUIRED_CODES[type_].items():
        if not set(values_at(resource, path)) <= allowed:
            full = f"{type_}.{path}"
            raise InvalidResource(f"{full} is not a code of its required value set", [full])
    return resource


def _as_understood(resource: Resource, type_: str) -> object:
    """Return the resource as fhir.resources reads it; raise InvalidResource if it cannot."""
    try:
        return json.loads(get_fhir_model_class(type_).model_validate(resource).model_dump_json())
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        path = ".".join([type_, *(str(step) for step in first["loc"])])
        # Only the kind of error: pydantic's message may quote the value.
        raise InvalidResource(f"{path}: {first['type']}", [path]) from None
    except (AttributeError, TypeError, ValueError):
        # fhir_core 1.1.12 stumbles over some malformed primitive extensions (`_status: "x"`).
        raise InvalidResource(f"{type_} has a malformed element") from None


def _wrong_kinds(sent: object, understood: object, path: str) -> Iterator[str]:
    """Yield the path of each string, number or Boolean that was understood as another kind."""
    if isinstance(sent, dict) and isinstance(understood, dict):
        for key in sent.keys() & understood.keys():
            yield from _wrong_kinds(sent[key], understood[key], f"{path}.{key}")
    elif isinstance(sent, list) and isinstance(understood, list):
        for index, (item, meant) in enumerate(zip(sent, understood, strict=False)):
            yield from _wrong_kinds(item, meant, f"{path}[{index}]")
    elif _kind(sent) != _kind(understood):
        yield path


def _kind(value: object) -> type:
    return float if type(value) is int else type(value)


def _empty_values(element: object, path: str, *, in_list: bool = False) -> Iterator[str]:
    """Yield the path of each null, "", [] and {}; null may fill a list (json.html#primitive)."""
    if element in ("", [], {}) or (element is None and not in_list):
        yield path
    elif isinstance(element, dict):
        for key, value in element.items():
            yield from _empty_values(value, f"{path}.{key}")
    elif isinstance(element, list):
        for index, value in enumerate(element):
            yield from _empty_values(value, f"{path}[{index}]", in_list=True)
