"""Searchset Bundles in pages: where the next one is, and two as one.

Source: FHIR R4 3.1.1.5 (paging: `link` with relation next, followed as it is given).
"""

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


def next_link(page: Json) -> str | None:
    """Return the address of the page after this one, or None."""
    links = page.get("link")
    for link in links if isinstance(links, list) else []:
        if isinstance(link, dict) and link.get("relation") == "next":
            url = link.get("url")
            return url if isinstance(url, str) else None
    return None


def joined(first: Json, rest: Json) -> dict[str, Any]:
    """Return one searchset with the entries of both, in order."""
    listed = [one.get("entry") for one in (first, rest)]
    entries = [entry for one in listed if isinstance(one, list) for entry in one]
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries}
