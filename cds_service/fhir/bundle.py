"""Searchset Bundles in pages: where the next one is, two as one, and whether that is all.

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
    """Return one searchset with the entries of both, in order; `rest` says what follows."""
    return searchset([*_entries(first), *_entries(rest)], following=next_link(rest))


def searchset(entries: list[Any], following: str | None = None) -> dict[str, Any]:
    """Return a searchset of these entries, with the address of the page after it, if any."""
    bundle: dict[str, Any] = {"resourceType": "Bundle", "type": "searchset", "entry": entries}
    if following is not None:
        bundle["link"] = [{"relation": "next", "url": following}]
    return bundle


def is_complete(page: Json) -> bool:
    """Tell whether this is a whole searchset, as far as it says: what it lacks does not exist.

    It is not with a further page, with a `total` beyond its entries, or with an OperationOutcome.
    """
    resources = [one.get("resource") for one in _entries(page) if isinstance(one, dict)]
    kinds = {one.get("resourceType") for one in resources if isinstance(one, dict)}
    total = page.get("total")
    is_cut = type(total) is int and total > len(resources)
    is_bundle = page.get("resourceType") == "Bundle"
    return is_bundle and next_link(page) is None and not is_cut and "OperationOutcome" not in kinds


def _entries(page: Json) -> list[Any]:
    listed = page.get("entry")
    return listed if isinstance(listed, list) else []
