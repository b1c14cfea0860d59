"""Which addresses may be dialled, and which are on the internet.

Source: RFC 6890 (special-purpose addresses), RFC 6052 (IPv4 inside IPv6), RFC 6761 6.3
(localhost); OWASP API7:2023 (SSRF); threat T7.
"""

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits


def may_be_dialled(text: str, registered_host: str | None) -> bool:
    """Tell whether this IP address, of a name that a registration names or not, may be dialled.

    A registered name may be a hospital's private address, but loopback only when the
    registration itself says so: otherwise a rebinding name server could point it at us. Cloud
    metadata (link-local) and multicast are never an EHR.
    """
    address = _inner(text)
    if address.is_link_local or address.is_multicast or address.is_unspecified:
        return False
    if address.is_loopback:
        return registered_host is not None and _says_loopback(registered_host)
    return registered_host is not None or address.is_global


def is_public(text: str) -> bool:
    """Tell whether this IP address is one of the internet, no machine's or network's own."""
    return _inner(text).is_global


def _inner(text: str) -> IPv4Address | IPv6Address:
    """Return the IPv4 address inside an IPv6 one, if there is one."""
    address = ip_address(text)
    if not isinstance(address, IPv6Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address in _NAT64:
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return inner or address


def _says_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
