"""One transaction Bundle: all of its entries are kept, or none.

Source: FHIR R4 http.html#transaction (creates before updates, urn:uuid references, ifNoneExist,
ifMatch); a batch is not supported.
"""

import uuid
from dataclasses import dataclass

from cds_service.sandbox.fhir_references import require_targets, with_references
from cds_service.sandbox.fhir_types import ID, require_type
from cds_service.sandbox.fhir_validation import validate
from cds_service.sandbox.fhir_writes import Guard, Written, existing_match, version_of
from cds_service.sandbox.outcomes import MalformedRequest, Resource
from cds_service.sandbox.resource_table import ResourceTable

ENTRY_LIMIT = 500


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: a POST to "Type" (`id` chosen here) or a PUT to "Type/id"."""

    method: str
    type: str
    id: str
    resource: Resource
    full_url: str | None
    if_none_exist: str | None
    if_match: str | None

    @property
    def reference(self) -> str:
        """The reference to what this entry writes."""
        return f"{self.type}/{self.id}"


def run_transaction(store: ResourceTable, bundle: object, guard: Guard) -> Resource:
    """Carry out the Bundle and return the transaction-response; raise SandboxRefusal."""
    entries = _entries(bundle)
    _refuse_overlaps(entries)
    for entry in entries:  # before anything can be found out by a condition
        guard("c" if entry.method == "POST" else "u", validate(entry.resource))
    with store.all_or_nothing():
        found = {
            index: existing
            for index, entry in enumerate(entries)
            if (existing := existing_match(store, entry.type, guard, entry.if_none_exist))
        }
        targets = {
            entry.full_url: f"{entry.type}/{found[index]['id']}"
            if index in found
            else entry.reference
            for index, entry in enumerate(entries)
            if entry.full_url is not None
        }
        answers: dict[int, Written] = {
            index: Written(existing, is_new=False) for index, existing in found.items()
        }
        for index in sorted(range(len(entries)), key=lambda index: entries[index].method):
            if index not in found:
                answers[index] = _write(store, entries[index], targets, guard)
        for index, written in answers.items():
            if index not in found:
                require_targets(store, written.resource)
    return {
        "resourceType": "Bundle",
        "id": str(uuid.uuid4()),
        "type": "transaction-response",
        "entry": [_answer(answers[index]) for index in range(len(entries))],
    }


def _entries(bundle: object) -> list[Entry]:
    if not isinstance(bundle, dict) or bundle.get("resourceType") != "Bundle":
        raise MalformedRequest("the base of this server takes a transaction Bundle")
    if bundle.get("type") != "transaction":
        raise MalformedRequest("only Bundles of type transaction are supported")
    entries = bundle.get("entry", [])
    if not isinstance(entries, list) or not 0 < len(entries) <= ENTRY_LIMIT:
        raise MalformedRequest(f"a transaction has 1 to {ENTRY_LIMIT} entries")
    return [_entry(entry, index) for index, entry in enumerate(entries)]


def _entry(entry: object, index: int) -> Entry:
    request = entry.get("request") if isinstance(entry, dict) else None
    resource = entry.get("resource") if isinstance(entry, dict) else None
    if not isinstance(entry, dict) or not isinstance(request, dict):
        raise MalformedRequest(f"entry[{index}] has no request")
    if not isinstance(resource, dict):
        raise MalformedRequest(f"entry[{index}] has no resource")
    if_none_exist, if_match = request.get("ifNoneExist"), request.get("ifMatch")
    for text in (entry.get("fullUrl"), if_none_exist, if_match):
        if not isinstance(text, str | None):
            raise MalformedRequest(f"entry[{index}]: fullUrl and conditions are strings")
    type_, id_ = _target(request, index)
    if resource.get("resourceType") != type_:
        raise MalformedRequest(f"entry[{index}]: the URL names another type than the resource")
    if request["method"] == "PUT" and resource.get("id") != id_:
        raise MalformedRequest(f"entry[{index}]: the URL names another id than the resource")
    return Entry(
        request["method"], type_, id_, resource, entry.get("fullUrl"), if_none_exist, if_match
    )


def _target(request: Resource, index: int) -> tuple[str, str]:
    """Return the type and id of an entry; a POST gets a new id."""
    method, url = request.get("method"), request.get("url")
    if method not in ("POST", "PUT") or not isinstance(url, str):
        raise MalformedRequest(f"entry[{index}]: only POST to Type and PUT to Type/id")
    type_, slash, id_ = url.partition("/")
    require_type(type_)
    if method == "POST" and not slash:
        return type_, str(uuid.uuid4())
    if method == "PUT" and ID.fullmatch(id_):
        return type_, id_
    raise MalformedRequest(f"entry[{index}]: only POST to Type and PUT to Type/id")


def _refuse_overlaps(entries: list[Entry]) -> None:
    full_urls = [entry.full_url for entry in entries if entry.full_url is not None]
    conditions = [(entry.type, entry.if_none_exist) for entry in entries if entry.if_none_exist]
    references = [entry.reference for entry in entries]
    for keys in (full_urls, conditions, references):
        if len(set(keys)) != len(keys):
            raise MalformedRequest("two entries of the transaction are about the same resource")


def _write(store: ResourceTable, entry: Entry, targets: dict[str, str], guard: Guard) -> Written:
    resource = validate(with_references(entry.resource, targets))
    if entry.method == "POST":
        guard("c", resource)
        return Written(store.create(resource, entry.id), is_new=True)
    guard("u", resource)
    current = store.read(entry.type, entry.id)
    if current is not None:
        guard("u", current)
    version = None if entry.if_match is None else version_of(entry.if_match)
    return Written(store.update(resource, version), is_new=current is None)


def _answer(written: Written) -> Resource:
    resource = written.resource
    version = resource["meta"]["versionId"]
    return {
        "resource": resource,
        "response": {
            "status": "201 Created" if written.is_new else "200 OK",
            "location": f"{resource['resourceType']}/{resource['id']}/_history/{version}",
            "etag": f'W/"{version}"',
            "lastModified": resource["meta"]["lastUpdated"],
        },
    }
