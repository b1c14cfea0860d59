"""Create, conditional create and update, each checked by a guard before anything is kept.

Source: FHIR R4 http.html#create, #ccreate, #update, #concurrency.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from cds_service.sandbox.fhir_references import require_targets
from cds_service.sandbox.fhir_search import parse_query
from cds_service.sandbox.fhir_validation import validate
from cds_service.sandbox.outcomes import MalformedRequest, MultipleMatches, Resource
from cds_service.sandbox.resource_table import ResourceTable
from cds_service.sandbox.scopes import Letter

_WEAK_ETAG = re.compile(r'W/"([^"]+)"')

Guard = Callable[[Letter, Resource], None]
"""Raises ScopeDenied unless the interaction may touch the resource."""


def unguarded(letter: Letter, resource: Resource) -> None:
    """Allow everything: the guard of the EHR itself."""


@dataclass(frozen=True, slots=True)
class Written:
    """The resource as it now stands, and whether this request made it."""

    resource: Resource
    is_new: bool


def create(
    store: ResourceTable, resource: Resource, guard: Guard, if_none_exist: str | None = None
) -> Written:
    """Create the resource, unless `if_none_exist` (a query string) finds the one there is."""
    with store.all_or_nothing():
        guard("c", validate(resource))
        existing = existing_match(store, resource["resourceType"], guard, if_none_exist)
        if existing is not None:
            return Written(existing, is_new=False)
        require_targets(store, resource)
        return Written(store.create(resource), is_new=True)


def update(
    store: ResourceTable, resource: Resource, guard: Guard, if_match: str | None = None
) -> Written:
    """Update the resource under its id, or create it there; `if_match` is the header's value."""
    version = None if if_match is None else version_of(if_match)
    with store.all_or_nothing():
        guard("u", validate(resource))
        current = store.read(resource["resourceType"], str(resource.get("id")))
        if current is not None:
            guard("u", current)
        require_targets(store, resource)
        return Written(store.update(resource, version), is_new=current is None)


def existing_match(
    store: ResourceTable, type_: str, guard: Guard, if_none_exist: str | None
) -> Resource | None:
    """Return the one resource a conditional create finds, None if there is none to find."""
    if if_none_exist is None:
        return None
    pairs = parse_qsl(if_none_exist.removeprefix("?"), keep_blank_values=True)
    query = parse_query(type_, pairs)
    if not query.conditions:
        raise MalformedRequest("If-None-Exist needs at least one search parameter")
    page = store.find(query)
    if page.total > 1:
        raise MultipleMatches(f"{page.total} resources match the condition of this create")
    for existing in page.resources:
        guard("c", existing)
        return existing
    return None


def version_of(if_match: str) -> str:
    """Return the versionId an If-Match header names; raise MalformedRequest."""
    match = _WEAK_ETAG.fullmatch(if_match.strip())
    if match is None:
        raise MalformedRequest('If-Match must be a weak ETag, for example W/"1"')
    return match[1]
