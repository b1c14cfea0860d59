"""A service's prefetch templates, resolved by the EHR from its own record.

Source: CDS Hooks 2.0 "Prefetch Template", "Prefetch Tokens", "Prefetch query restrictions".
"""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from cds_service.sandbox.fhir_search import parse_query
from cds_service.sandbox.fhir_types import require_type
from cds_service.sandbox.outcomes import Resource, SandboxRefusal
from cds_service.sandbox.parts import Sandbox

_TOKEN = re.compile(r"\{\{\s*([\w.]+)\s*\}\}")


def prefetched(parts: Sandbox, templates: Mapping[str, str], tokens: Mapping[str, str]) -> Resource:
    """Resolve the service's prefetch templates against our own record.

    A key we cannot resolve (an unknown token, parameter or type) is left out; null says that we
    looked and found nothing ("Prefetch Template", rules for the CDS client).
    """
    found: Resource = {}
    for key, template in templates.items():
        if not set(_TOKEN.findall(template)) <= tokens.keys():
            continue
        try:
            found[key] = _fetch(parts, _TOKEN.sub(lambda token: tokens[token[1]], template))
        except SandboxRefusal:
            continue
    return found


def _fetch(parts: Sandbox, query: str) -> Resource | None:
    path, _, parameters = query.partition("?")
    if "/" in path:
        return parts.fhir.read(*path.split("/", 1))
    page = parts.fhir.find(
        parse_query(require_type(path, parts.config.lacks), parse_qsl(parameters))
    )
    if not page.resources:
        return None
    entries = [
        {
            "fullUrl": f"{parts.config.fhir_base}/{path}/{resource['id']}",
            "resource": resource,
            "search": {"mode": "match"},
        }
        for resource in page.resources
    ]
    return {"resourceType": "Bundle", "type": "searchset", "total": page.total, "entry": entries}
