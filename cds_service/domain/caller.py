"""Who calls: the address that a front door counts by, and that the audit log names.

Source: RFC 7239 7.4 (the last proxy's word alone is of use); RFC 4291 2.5.4 (64 bits of an IPv6
address are the host's own to choose).
"""

from ipaddress import IPv6Address, ip_address, ip_network


def caller_address(peer: str, forwarded: str | None) -> str:
    """Return who calls: behind a proxy of our own network, whom that proxy saw.

    peer        the other end of the connection
    forwarded   the request's X-Forwarded-For
    """
    last = (forwarded or "").rpartition(",")[2].strip()
    try:
        return str(ip_address(last)) if last and ip_address(peer).is_private else peer
    except ValueError:
        return peer


def neighbourhood(address: str) -> str:
    """Return the address, or the network of one that is a host's to choose; "unknown" for none."""
    try:
        known = ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(known, IPv6Address) and known.ipv4_mapped is None:
        return str(ip_network((int(known), 64), strict=False))
    return address
