"""References inside resources: rewriting them, and refusing those that lead nowhere.

Source: FHIR R4 references.html; http.html#transaction (references to entries of the Bundle).
"""

from collections.abc import Iterator, Mapping
from typing import Any

from cds_service.sandbox.fhir_types import TYPES
from cds_service.sandbox.outcomes import BusinessRule, MalformedRequest, Resource
from cds_service.sandbox.resource_table import ResourceTable

# These tell what happened, also to things that this server never held.
HISTORIANS = frozenset({"AuditEvent", "Provenance"})


def with_references(element: Any, targets: Mapping[str, str]) -> Any:  # noqa: ANN401  JSON
    """Return the JSON with each `reference` that is a key of `targets` replaced by its value."""
    if isinstance(element, list):
        return [with_references(item, targets) for item in element]
    if not isinstance(element, dict):
        return element
    return {
        key: targets.get(value, value)
        if key == "reference" and isinstance(value, str)
        else with_references(value, targets)
        for key, value in element.items()
    }


def require_targets(store: ResourceTable, resource: Resource) -> None:
    """Raise BusinessRule when a relative reference names nothing this server holds.

    Raises MalformedRequest for a urn: reference that no entry resolved. Contained (#...) and
    absolute references are left alone.
    """
    for reference in _references(resource):
        if reference.startswith("urn:"):
            raise MalformedRequest("a urn: reference has no entry of that fullUrl")
        if reference.startswith("#") or "://" in reference:
            continue
        type_, _, rest = reference.partition("/")
        id_ = rest.partition("/_history/")[0]
        if resource["resourceType"] not in HISTORIANS and (
            type_ not in TYPES or store.read(type_, id_) is None
        ):
            raise BusinessRule(f"a reference to a {type_} leads nowhere on this server")


def _references(element: object) -> Iterator[str]:
    if isinstance(element, list):
        for item in element:
            yield from _references(item)
    elif isinstance(element, dict):
        for key, value in element.items():
            if key == "reference" and isinstance(value, str):
                yield value
            else:
                yield from _references(value)
