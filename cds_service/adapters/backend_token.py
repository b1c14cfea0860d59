"""Backend Services tokens: Sightline's own access to a registered EHR, one token per tenant.

Source: SMART App Launch 2.2 "Backend Services" (client_credentials with private_key_jwt);
RFC 6749 5.2 (errors).
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any
from urllib.parse import urljoin

import requests
from requests.auth import AuthBase

from cds_service.adapters.background import in_background, wait_for
from cds_service.adapters.client_assertion import ASSERTION_TYPE, ClientAssertion
from cds_service.adapters.egress import Egress
from cds_service.domain.smart_client import assertion_algorithm
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, EhrBusy, EhrRefused, EhrTimedOut
from cds_service.fhir import bounded_json

READ_SCOPES = ("system/Patient.rs", "system/ImagingStudy.rs", "system/Endpoint.rs")
# What is read where there is no ImagingStudy: orders name accession numbers, and so do reports.
ORDER_SCOPES = ("system/Patient.rs", "system/ServiceRequest.rs")
WRITE_SCOPES = (
    "system/Observation.crus",
    "system/DiagnosticReport.crus",
    "system/Device.crus",
    "system/Provenance.crus",
    "system/DocumentReference.crs",
)
ALGORITHMS_OFFERED = "token_endpoint_auth_signing_alg_values_supported"
RENEW_BEFORE_S = 30.0
DEFAULT_LIFE_S = 300.0  # SMART recommends at most this; used when the server names none
DISCOVERY_LIFE_S = 600.0
ASK_S = 10.0  # for discovery and token together; a hook that waits has less
_OVERLOADED = {408, 429, 500, 502, 503, 504}


@dataclass(frozen=True, slots=True)
class Token:
    """An access token and what it is good for."""

    access_token: str = field(repr=False)
    scope: str
    expires_at: float  # on the clock of the BackendTokens that made it


@dataclass(slots=True)
class _Account:
    """What is known about one tenant's token endpoint, and the asking that is under way."""

    token: Token | None = None
    asking: Future[Token] | None = None
    discovery: Mapping[str, Any] | None = None
    discovered_at: float = 0.0


class BackendTokens:
    """Asks for tokens and keeps each until shortly before it expires; memory only."""

    def __init__(
        self,
        egress: Egress,
        assertion: ClientAssertion,
        clock: Callable[[], float] = time.monotonic,
        scopes: tuple[str, ...] = (*READ_SCOPES, ORDER_SCOPES[1], *WRITE_SCOPES),
    ) -> None:
        """`scopes`: what is asked for; where that is too much, those of them that read."""
        self._egress, self._assertion, self._clock = egress, assertion, clock
        self._scopes = scopes
        self._accounts: dict[Tenant, _Account] = {}
        self._lock = Lock()  # never held during a call

    def token(self, tenant: Tenant, *, timeout_s: float = 5.0) -> Token | None:
        """Return a token with at least 30 s left, or None when we may not ask this EHR for one.

        Raises EhrRefused, EhrTimedOut, EhrBusy or EhrAnswerInvalid.
        """
        if tenant.client_id is None or not tenant.has_backend_client:
            return None
        account = self._account(tenant)
        with self._lock:
            known = account.token
            if known is not None and self._clock() < known.expires_at - RENEW_BEFORE_S:
                return known
            if account.asking is None or account.asking.done():
                ask = partial(self._renew, tenant, tenant.client_id, account)
                account.asking = in_background(ask, "backend-token")
            asking = account.asking
        return wait_for(asking, timeout_s, "The EHR's token endpoint gave no answer in time.")

    def auth(self, tenant: Tenant) -> "BackendAuth | None":
        """Return what signs requests to this EHR; None when we are no client of it."""
        token = self.token(tenant)
        return None if token is None else BackendAuth(self, tenant, token)

    def forget(self, tenant: Tenant, token: Token) -> None:
        """Drop this token, because the EHR did not accept it."""
        account = self._account(tenant)
        with self._lock:
            if account.token is token:
                account.token = None

    def _account(self, tenant: Tenant) -> _Account:
        with self._lock:
            return self._accounts.setdefault(tenant, _Account())

    def _renew(self, tenant: Tenant, client_id: str, account: _Account) -> Token:
        token = self._ask(tenant, client_id, account, time.monotonic() + ASK_S)
        with self._lock:
            account.token = token
        return token

    def _ask(self, tenant: Tenant, client_id: str, account: _Account, until: float) -> Token:
        discovery = self._discover(tenant, account, until)
        endpoint = discovery.get("token_endpoint")
        if not isinstance(endpoint, str):
            raise EhrAnswerInvalid("The EHR's smart-configuration names no token endpoint.")
        url = urljoin(tenant.fhir_base + "/", endpoint)
        algorithm = assertion_algorithm(_texts(discovery, ALGORITHMS_OFFERED))
        if algorithm is None:
            raise EhrRefused("The EHR's token endpoint accepts neither RS384 nor ES384.")
        sign = partial(self._assertion.sign, client_id, url, algorithm)
        for scopes in _wishes(discovery, self._scopes):
            answer = self._post(tenant, sign, url, scopes, until)
            if answer.get("error") != "invalid_scope":
                return self._read(answer, scopes)
        raise EhrRefused("The EHR grants none of the scopes that Sightline asks for.")

    def _discover(self, tenant: Tenant, account: _Account, until: float) -> Mapping[str, Any]:
        now = self._clock()
        if account.discovery is None or now > account.discovered_at + DISCOVERY_LIFE_S:
            url = tenant.fhir_base + "/.well-known/smart-configuration"
            session = self._egress.session_for(tenant, body_s=5.0)
            headers = {"Accept": "application/json"}
            response = _send(
                lambda left_s: session.get(url, headers=headers, timeout=left_s), until
            )
            if response.status_code != 200:
                raise EhrAnswerInvalid("The EHR publishes no smart-configuration.")
            account.discovery, account.discovered_at = _json_object(response), now
        return account.discovery

    def _post(
        self,
        tenant: Tenant,
        sign: Callable[[], str],
        url: str,
        scopes: tuple[str, ...],
        until: float,
    ) -> Mapping[str, Any]:
        form = {
            "grant_type": "client_credentials",
            "scope": " ".join(scopes),
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": sign(),
        }
        session = self._egress.session_for(tenant, also=(url,), body_s=5.0)
        response = _send(lambda left_s: session.post(url, data=form, timeout=left_s), until)
        if response.status_code == 400:
            answer = _json_object(response)
            if answer.get("error") == "invalid_scope":
                return answer
        if response.status_code != 200:
            raise EhrRefused(f"The EHR's token endpoint answered {response.status_code}.")
        return _json_object(response)

    def _read(self, answer: Mapping[str, Any], scopes: tuple[str, ...]) -> Token:
        value, scope, life = (answer.get(key) for key in ("access_token", "scope", "expires_in"))
        if not isinstance(value, str) or not value:
            raise EhrAnswerInvalid("The EHR's token endpoint answered without a token.")
        life_s = float(life) if isinstance(life, int | float) and life > 0 else DEFAULT_LIFE_S
        granted = scope if isinstance(scope, str) else " ".join(scopes)
        return Token(value, granted, self._clock() + life_s)


class BackendAuth(AuthBase):
    """Our bearer on a request; a 401 means a revoked token, so it is renewed once."""

    def __init__(self, tokens: BackendTokens, tenant: Tenant, token: Token) -> None:
        self._tokens, self._tenant, self._token = tokens, tenant, token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Sign the request."""
        request.headers["Authorization"] = f"Bearer {self._token.access_token}"
        request.hooks["response"].append(self._again)
        return request

    def _again(self, response: requests.Response, **sending: Any) -> requests.Response:  # noqa: ANN401  requests' own arguments, passed on
        refused = f"Bearer {self._token.access_token}"
        if response.status_code != 401 or response.request.headers["Authorization"] != refused:
            return response
        response.close()
        self._tokens.forget(self._tenant, self._token)
        renewed = self._tokens.token(self._tenant)
        if renewed is None:
            return response
        self._token = renewed
        request = response.request.copy()
        request.headers["Authorization"] = f"Bearer {renewed.access_token}"
        again = response.connection.send(request, **sending)  # the same door, so checked again
        again.request = request
        return again


def _wishes(discovery: Mapping[str, Any], everything: tuple[str, ...]) -> list[tuple[str, ...]]:
    """List what to ask for: everything, then what the server says it knows, then reading.

    The last wish is for one that knows no ImagingStudy.
    """
    supported = discovery.get("scopes_supported")
    known = tuple(s for s in everything if isinstance(supported, list) and s in supported)
    reading = tuple(s for s in everything if s in READ_SCOPES)
    orders = tuple(s for s in everything if s in ORDER_SCOPES)
    return [wish for wish in dict.fromkeys((everything, known, reading, orders)) if wish]


def _texts(discovery: Mapping[str, Any], name: str) -> tuple[str, ...]:
    listed = discovery.get(name)
    return tuple(str(one) for one in listed) if isinstance(listed, list) else ()


def _send(call: Callable[[float], requests.Response], until: float) -> requests.Response:
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise EhrTimedOut("The EHR's token endpoint gave no answer in time.")
    try:
        response = call(left_s)
    except requests.Timeout as error:
        raise EhrTimedOut("The EHR's token endpoint gave no answer in time.") from error
    except requests.RequestException as error:
        raise EhrBusy("The EHR's token endpoint could not be reached.") from error
    if response.status_code in _OVERLOADED:
        raise EhrBusy("The EHR's token endpoint asked us to come back later.")
    return response


def _json_object(response: requests.Response) -> Mapping[str, Any]:
    try:
        document = bounded_json.parse(response.content)
    except ValueError as error:
        raise EhrAnswerInvalid("The EHR's token endpoint did not answer JSON.") from error
    if not isinstance(document, dict):
        raise EhrAnswerInvalid("The EHR's token endpoint did not answer a JSON object.")
    return document
