"""The FHIR R4 REST server of the sandbox: read, search, create, update, transaction.

Source: FHIR R4 http.html; SMART App Launch 2.2 (scopes of each interaction).
"""

from urllib.parse import urlencode

from flask import Blueprint, Response, g, request

from cds_service.sandbox.bearer import require_access
from cds_service.sandbox.capability import capability_statement
from cds_service.sandbox.compartment import confined, guard_of
from cds_service.sandbox.fhir_messages import (
    json_response,
    read_json,
    require_acceptable,
    resource_response,
)
from cds_service.sandbox.fhir_search import DEFAULT_COUNT, Query, parse_query
from cds_service.sandbox.fhir_types import require_type
from cds_service.sandbox.fhir_writes import create, update
from cds_service.sandbox.outcomes import (
    MalformedRequest,
    NotFound,
    Resource,
    UnsupportedMedia,
    UnsupportedParameter,
)
from cds_service.sandbox.parts import sandbox_parts
from cds_service.sandbox.resource_table import Page
from cds_service.sandbox.scopes import Access
from cds_service.sandbox.smart_configuration import smart_configuration

BODY_LIMIT = 8 * 1024 * 1024  # bytes

blueprint = Blueprint("fhir", __name__, url_prefix="/fhir")
_PUBLIC = frozenset({"fhir.metadata", "fhir.discovery"})


@blueprint.before_request
def check_request() -> None:
    """Let nobody further without a token of ours, nor with a body we would not read."""
    request.max_content_length = BODY_LIMIT
    if request.endpoint not in _PUBLIC:
        g.access = require_access((sandbox_parts().config.fhir_base,))
        require_acceptable()


@blueprint.get("/metadata")
def metadata() -> Response:
    """Say what this server can do."""
    require_acceptable()
    return json_response(capability_statement(sandbox_parts().config))


@blueprint.get("/.well-known/smart-configuration")
def discovery() -> Response:
    """Say where the authorization server is and what it can do (SMART 2.2 "Conformance")."""
    response = json_response(smart_configuration(sandbox_parts().config))
    response.mimetype = "application/json"
    return response


@blueprint.get("/<type_>/<id_>")
def read_resource(type_: str, id_: str) -> Response:
    """Read one resource."""
    _access().confinement("r", _known(type_))
    resource = sandbox_parts().fhir.read(type_, id_)
    if resource is None:
        raise NotFound(f"there is no such {type_}")
    guard_of(_access())("r", resource)
    return resource_response(resource)


@blueprint.get("/<type_>")
def search_by_get(type_: str) -> Response:
    """Search one type by the query string."""
    return _search(type_, list(request.args.items(multi=True)))


@blueprint.post("/<type_>/_search")
def search_by_post(type_: str) -> Response:
    """Search one type by a form, which keeps identifiers out of access logs."""
    if request.mimetype != "application/x-www-form-urlencoded":
        raise UnsupportedMedia("_search takes application/x-www-form-urlencoded")
    if set(request.args) - {"_format"}:
        # Epic ignores them since February 2026; before, it ignored the body.
        raise UnsupportedParameter("_search takes its parameters from the body only")
    return _search(type_, list(request.form.items(multi=True)))


@blueprint.post("/<type_>")
def create_resource(type_: str) -> Response:
    """Create a resource, or find the one that If-None-Exist names."""
    _access().confinement("c", _known(type_))
    written = create(
        sandbox_parts().fhir,
        _resource_of_type(type_),
        guard_of(_access()),
        request.headers.get("If-None-Exist"),
    )
    return resource_response(written.resource, 201 if written.is_new else 200, is_write=True)


@blueprint.put("/<type_>/<id_>")
def update_resource(type_: str, id_: str) -> Response:
    """Update a resource, or create it under the id the client chose."""
    _access().confinement("u", _known(type_))
    resource = _resource_of_type(type_)
    if resource.get("id") != id_:
        raise MalformedRequest("the id in the body is not the one of the URL")
    written = update(
        sandbox_parts().fhir, resource, guard_of(_access()), request.headers.get("If-Match")
    )
    return resource_response(written.resource, 201 if written.is_new else 200, is_write=True)


@blueprint.post("/", strict_slashes=False)
def transaction() -> Response:
    """Carry out a transaction Bundle."""
    bundle = read_json()
    return json_response(sandbox_parts().fhir.transaction(bundle, guard_of(_access())))


def _known(type_: str) -> str:
    return require_type(type_, sandbox_parts().config.lacks)


def _access() -> Access:
    access: Access = g.access
    return access


def _resource_of_type(type_: str) -> Resource:
    resource = read_json()
    if not isinstance(resource, dict) or resource.get("resourceType") != type_:
        raise MalformedRequest(f"the body must be a resource of type {type_}")
    return resource


def _search(type_: str, pairs: list[tuple[str, str]]) -> Response:
    patient = _access().confinement("s", _known(type_))
    query = parse_query(type_, [("_count", str(DEFAULT_COUNT)), *pairs])
    page = sandbox_parts().fhir.find(confined(query, patient))
    return json_response(_bundle(query, page, pairs))


def _bundle(query: Query, page: Page, pairs: list[tuple[str, str]]) -> Resource:
    base = sandbox_parts().config.fhir_base

    def link(relation: str, offset: int) -> Resource:
        kept = [(name, value) for name, value in pairs if name not in ("_count", "_offset")]
        place = [("_count", query.count), *([("_offset", offset)] if offset else [])]
        return {"relation": relation, "url": f"{base}/{query.type}?{urlencode([*kept, *place])}"}

    links = [link("self", query.offset)]
    shown = query.offset + len(page.resources)
    if page.resources and shown < page.total:
        links.append(link("next", shown))
    bundle: Resource = {
        "resourceType": "Bundle",
        "type": "searchset",
        "total": page.total,
        "link": links,
        "entry": [
            {
                "fullUrl": f"{base}/{query.type}/{resource['id']}",
                "resource": resource,
                "search": {"mode": "match"},
            }
            for resource in page.resources
        ],
    }
    return {name: value for name, value in bundle.items() if value != []}
