"""How often one address may start a sign-in or come back from one.

Each of them costs calls to an EHR and a place in Redis, and nobody is known yet.

Source: OWASP "Denial of Service"; threat T18.
"""

from ipaddress import ip_address

from flask import request

from smart_app.services import AppServices


def count_sign_in(house: AppServices) -> None:
    """Count this request; raise TooManyCalls when its address sends too many."""
    house.count_sign_in(_address(request.remote_addr or "", request.headers.get("X-Forwarded-For")))


def _address(peer: str, forwarded: str | None) -> str:
    """Return who calls: behind a proxy of our own network, whom that proxy saw."""
    last = (forwarded or "").rpartition(",")[2].strip()
    try:
        return str(ip_address(last)) if last and ip_address(peer).is_private else peer
    except ValueError:
        return peer
