"""The one door to other machines: an allow-list, a pinned address, no redirects, byte caps.

Addresses in hook calls, FHIR resources and paging links are chosen by others. Only origins that
a registration names are called, and the address that was checked is the address that is dialled.

Source: architecture "One egress door"; OWASP API7:2023 (SSRF); threat T7.
"""

import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from threading import Lock
from typing import Any, NamedTuple, cast
from urllib.parse import urljoin

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import LocationParseError, NewConnectionError
from urllib3.util import parse_url

from cds_service.adapters.dialled_address import is_public, may_be_dialled
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, EhrTimedOut, EndpointNotAllowed

MEBIBYTE = 1024 * 1024
DEFAULT_PORTS = {"http": 80, "https": 443}
KEPT_DOORS = 64  # connection pools that stay open, one per tenant and list of extra addresses

Resolve = Callable[..., list[Any]]  # socket.getaddrinfo


class Origin(NamedTuple):
    """Scheme, host and port; compared exactly."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


def origin_of(url: str) -> Origin:
    """Parse with the parser that also dials; raise EndpointNotAllowed for an odd address."""
    try:
        parsed = parse_url(url)
    except (LocationParseError, UnicodeError) as error:
        raise EndpointNotAllowed("The address is not a URL.") from error
    host = (parsed.host or "").strip("[]").rstrip(".")
    if parsed.scheme not in DEFAULT_PORTS or not host or parsed.auth is not None:
        raise EndpointNotAllowed("Only plain http(s) addresses are called.")
    port = DEFAULT_PORTS[parsed.scheme] if parsed.port is None else parsed.port
    return Origin(parsed.scheme, host, port)


def same_origin(url: str, base: str) -> bool:
    """Tell whether a (possibly relative) address stays at the origin of `base`."""
    try:
        return origin_of(urljoin(base, url)) == origin_of(base)
    except EndpointNotAllowed:
        return False


class Egress:
    """Makes sessions that reach what a tenant's registration names, and nothing else."""

    def __init__(
        self,
        on_refused: Callable[[Tenant, str], None] = lambda _tenant, _origin: None,
        resolve: Resolve = socket.getaddrinfo,
    ) -> None:
        """`on_refused` is told the tenant and the refused origin, so that it can be audited."""
        self._on_refused = on_refused
        self._resolve = resolve
        self._doors: OrderedDict[tuple[Any, ...], _Door] = OrderedDict()
        self._lock = Lock()

    def session_for(
        self,
        tenant: Tenant,
        *,
        also: Iterable[str] = (),
        timeout_s: float = 10.0,
        body_s: float = 60.0,
        max_bytes: int = 16 * MEBIBYTE,
    ) -> requests.Session:
        """Return a session for this tenant's registered origins.

        also       further addresses, such as a discovered token endpoint: https and public only,
                   unless their origin is registered
        timeout_s  to connect and between two packets, unless the call names its own
        body_s     for a whole body, so that a slow drip cannot hold a thread
        max_bytes  of a decoded body

        A call raises EndpointNotAllowed before any connection, EhrAnswerInvalid past `max_bytes`,
        EhrTimedOut past `body_s`, and requests' own errors otherwise.
        """
        key = (tenant, tuple(also), body_s, max_bytes)
        with self._lock:
            door = self._doors.get(key)
            if door is None:
                door = self._doors[key] = _Door(self, tenant, key[1], body_s, max_bytes)
                if len(self._doors) > KEPT_DOORS:
                    self._doors.popitem(last=False)
            self._doors.move_to_end(key)
        return _Session(door, timeout_s)

    def refuse(self, tenant: Tenant, where: str) -> EndpointNotAllowed:
        """Report a refused origin and return the error to raise."""
        self._on_refused(tenant, where)
        return EndpointNotAllowed("The address is not one that this EHR's registration allows.")

    def is_inside(self, url: str) -> bool:
        """Tell whether this address leads to this machine or a private network, as far as known.

        A name that does not resolve here and now counts: each connection looks again.
        Raises EndpointNotAllowed for an odd address.
        """
        origin = origin_of(url)
        try:
            found = self._resolve(origin.host, origin.port, 0, socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return True
        return not any(is_public(str(entry[4][0])) for entry in found)

    def addresses(self, tenant: Tenant, origin: Origin, *, registered: bool) -> list[str]:
        """Resolve once; refuse the whole name when one of its addresses is off limits."""
        found = self._resolve(origin.host, origin.port, 0, socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if not may_be_dialled(address, origin.host if registered else None):
                raise self.refuse(tenant, str(origin))
        return addresses


class _Session(requests.Session):
    """A session with no memory: no environment, no cookies, no redirects."""

    def __init__(self, door: "_Door", timeout_s: float) -> None:
        super().__init__()
        self.trust_env = False  # a .netrc entry would replace our bearer header
        self.headers["User-Agent"] = "Sightline"
        self._door = door
        self._timeout_s = timeout_s

    def get_adapter(self, url: str | bytes) -> HTTPAdapter:
        return self._door  # for every scheme: the door judges

    def send(
        self,
        request: requests.PreparedRequest,
        **kwargs: Any,  # noqa: ANN401  requests' own arguments, passed on
    ) -> requests.Response:
        kwargs["allow_redirects"] = False
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self._timeout_s
        response = super().send(request, **kwargs)
        self.cookies.clear()
        return response

    def close(self) -> None:
        """Leave the connections open: the door outlives the session."""


class _Door(HTTPAdapter):
    """The transport of one tenant: checks each request, pins addresses, caps bodies."""

    def __init__(
        self, egress: Egress, tenant: Tenant, also: tuple[str, ...], body_s: float, max_bytes: int
    ) -> None:
        super().__init__()
        self._egress, self._tenant = egress, tenant
        self._body_s, self._max_bytes = body_s, max_bytes
        named = (tenant.fhir_base, tenant.jwks_url, *tenant.jkus)
        logins = tenant.credentials_in_use
        tokens = [one.token_url for one in logins]
        self._registered = frozenset(
            origin_of(url) for url in (*named, *tenant.asked_bases, *tokens) if url
        )
        guarded = frozenset(
            origin_of(url) for url in (*(one.base for one in logins), *tokens) if url
        )
        self._in_clear = frozenset(one for one in guarded if one.scheme == "http")
        self._also = also

    def send(
        self,
        request: requests.PreparedRequest,
        *args: Any,  # noqa: ANN401  requests' own arguments, passed on
        **kwargs: Any,  # noqa: ANN401
    ) -> requests.Response:
        self._check(request.url or "")
        response = super().send(request, *args, **kwargs)
        response.raw = _CappedBody(response.raw, self._max_bytes, time.monotonic() + self._body_s)
        return response

    def get_connection_with_tls_context(
        self,
        *args: Any,  # noqa: ANN401  requests' own arguments, passed on
        **kwargs: Any,  # noqa: ANN401
    ) -> HTTPConnectionPool:
        pool = cast(HTTPConnectionPool, super().get_connection_with_tls_context(*args, **kwargs))
        pinned = _PinnedTls if pool.scheme == "https" else _Pinned
        pool.ConnectionCls = partial(pinned, self._pin)  # type: ignore[assignment]  # a factory
        return pool

    def _check(self, url: str) -> None:
        try:
            origin = origin_of(url)
            if origin in self._registered:
                return
            extra = frozenset(origin_of(other) for other in self._also)
        except EndpointNotAllowed:
            self._egress.refuse(self._tenant, "unreadable address")
            raise
        if origin not in extra or origin.scheme != "https":
            raise self._egress.refuse(self._tenant, str(origin))

    def _pin(self, scheme: str, host: str, port: int) -> list[str]:
        origin = Origin(scheme, host.strip("[]"), port)
        found = self._egress.addresses(self._tenant, origin, registered=origin in self._registered)
        if origin in self._in_clear and any(map(is_public, found)):
            self._egress.refuse(self._tenant, str(origin))
            raise EndpointNotAllowed("Credentials do not cross the internet in the clear.")
        return found


class _CappedBody:
    """A body that ends with an error when it is too long, in bytes or in time."""

    def __init__(self, raw: BaseHTTPResponse, max_bytes: int, deadline: float) -> None:
        self._raw, self._left, self._deadline = raw, max_bytes, deadline

    def __getattr__(self, name: str) -> object:
        return getattr(self._raw, name)

    def stream(self, amt: int, decode_content: bool | None = None) -> Iterator[bytes]:
        # read1 returns what one packet brought: with read(amt) a server that sends one byte
        # per timeout would hold the thread for amt timeouts.
        while chunk := self._raw.read1(amt, decode_content=decode_content):
            self._left -= len(chunk)
            if self._left < 0:
                self._raw.close()
                raise EhrAnswerInvalid("The answer is larger than this service reads.")
            if time.monotonic() > self._deadline:
                self._raw.close()
                raise EhrTimedOut("The answer did not end in time.")
            yield chunk


class _Pinned(HTTPConnection):
    """Dial an address that was checked; Host, SNI and the certificate keep the name."""

    scheme = "http"

    def __init__(
        self,
        pin: Callable[[str, str, int], list[str]],
        *args: Any,  # noqa: ANN401  urllib3's own arguments, passed on
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        super().__init__(*args, **kwargs)
        self._pin = pin

    def _new_conn(self) -> socket.socket:
        name = self._dns_host
        try:
            addresses = self._pin(self.scheme, self.host, self.port)
        except (OSError, UnicodeError) as error:
            raise NewConnectionError(self, "The name could not be resolved.") from error
        try:
            return self._first_that_answers(addresses)
        finally:
            self._dns_host = name

    def _first_that_answers(self, addresses: list[str]) -> socket.socket:
        refusal = NewConnectionError(self, "The name has no address.")
        for self._dns_host in addresses:
            try:
                return super()._new_conn()
            except NewConnectionError as error:
                refusal = error
        raise refusal


class _PinnedTls(_Pinned, HTTPSConnection):
    """The same over TLS."""

    scheme = "https"
