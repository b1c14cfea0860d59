"""The last hook calls as an administrator reads them: JSON, with records shortened, tokens hidden.

Source: CDS Hooks 2.0 "HTTP Request", "HTTP Response", "FHIR Resource Access" (the access token).
"""

import json
from dataclasses import dataclass

from cds_service.sandbox.conversation import Exchange
from cds_service.sandbox.outcomes import Resource

DIALECT = "strict-2.0"  # what this EHR speaks: CDS Hooks 2.0 by the letter
HIDDEN = "(hidden)"


@dataclass(frozen=True, slots=True)
class ExchangeView:
    """One call, ready for the template."""

    what: str
    service_id: str
    url: str
    took_ms: int
    status: str
    request: str
    response: str


def exchange_view(exchange: Exchange) -> ExchangeView:
    """Show one call; what cannot be shown in full says so."""
    return ExchangeView(
        what=exchange.what,
        service_id=exchange.service_id,
        url=exchange.url,
        took_ms=exchange.took_ms,
        status="no answer" if exchange.status is None else f"HTTP {exchange.status}",
        request=_text(_shortened(exchange.request)),
        response=_text(exchange.response) if exchange.response else "(no body)",
    )


def _shortened(request: Resource) -> Resource:
    shown = dict(request)
    if "fhirAuthorization" in shown:
        shown["fhirAuthorization"] = {**shown["fhirAuthorization"], "access_token": HIDDEN}
    if "prefetch" in shown:
        shown["prefetch"] = {key: _brief(value) for key, value in shown["prefetch"].items()}
    return shown


def _brief(prefetched: Resource | None) -> object:
    """Say what a prefetch key holds: the name of each resource, and null as it is."""
    if prefetched is None:
        return None
    if prefetched["resourceType"] != "Bundle":
        return f"{_name(prefetched)} (shortened)"
    entries = [f"{_name(entry['resource'])} (shortened)" for entry in prefetched.get("entry", [])]
    return {**prefetched, "entry": entries}


def _name(resource: Resource) -> str:
    return f"{resource['resourceType']}/{resource.get('id')}"


def _text(document: Resource) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False)
