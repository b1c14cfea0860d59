"""Backend Services tokens: Sightline's own access to a registered EHR, one token per tenant.

Source: SMART App Launch 2.2 "Backend Services" (client_credentials with private_key_jwt);
RFC 6749 5.2 (errors).
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from threading import Lock
from typing import Any
from urllib.parse import urljoin

from cds_service.adapters.client_assertion import ASSERTION_TYPE, ClientAssertion
from cds_service.adapters.egress import Egress
from cds_service.adapters.kept_token import WAIT_S, KeptToken, RenewedBearer
from cds_service.adapters.token_endpoint import Token, json_object, send, token_in
from cds_service.domain.smart_client import assertion_algorithm
from cds_service.domain.tenant import Tenant
from cds_service.errors import EhrAnswerInvalid, EhrRefused

READ_SCOPES = ("system/Patient.rs", "system/ImagingStudy.rs", "system/Endpoint.rs")
# What is read where there is no ImagingStudy: orders name accession numbers, and so do reports.
ORDER_SCOPES = ("system/Patient.rs", "system/ServiceRequest.rs", "system/DiagnosticReport.rs")
WRITE_SCOPES = (
    "system/Observation.crus",
    "system/DiagnosticReport.crus",
    "system/Device.crus",
    "system/Provenance.crus",
    "system/DocumentReference.crs",
)
ALGORITHMS_OFFERED = "token_endpoint_auth_signing_alg_values_supported"
DISCOVERY_LIFE_S = 600.0


@dataclass(slots=True)
class _Account:
    """What is known about one tenant's token endpoint."""

    kept: KeptToken
    discovery: Mapping[str, Any] | None = None
    discovered_at: float = 0.0


class BackendTokens:
    """Asks for tokens and keeps each until shortly before it expires; memory only."""

    def __init__(
        self,
        egress: Egress,
        assertion: ClientAssertion,
        clock: Callable[[], float] = time.monotonic,
        scopes: tuple[str, ...] = (*READ_SCOPES, *ORDER_SCOPES[1:], *WRITE_SCOPES),
    ) -> None:
        """`scopes`: what is asked for; where that is too much, those of them that read."""
        self._egress, self._assertion, self._clock = egress, assertion, clock
        self._scopes = scopes
        self._accounts: dict[Tenant, _Account] = {}
        self._lock = Lock()  # never held during a call

    def token(self, tenant: Tenant, *, timeout_s: float = WAIT_S) -> Token | None:
        """Return a token with at least 30 s left, or None when we may not ask this EHR for one.

        Raises EhrRefused, EhrTimedOut, EhrBusy or EhrAnswerInvalid.
        """
        if tenant.client_id is None or not tenant.has_backend_client:
            return None
        return self._account(tenant).kept.get(timeout_s)

    def auth(self, tenant: Tenant, *, timeout_s: float = WAIT_S) -> RenewedBearer | None:
        """Return what signs requests to this EHR; None when we are no client of it.

        timeout_s   for a token, now and when this one is refused
        """
        token = self.token(tenant, timeout_s=timeout_s)

        def renewed(refused: Token) -> Token | None:
            self.forget(tenant, refused)
            return self.token(tenant, timeout_s=timeout_s)

        return None if token is None else RenewedBearer(token, renewed)

    def forget(self, tenant: Tenant, token: Token) -> None:
        """Drop this token, because the EHR did not accept it."""
        self._account(tenant).kept.forget(token)

    def _account(self, tenant: Tenant) -> _Account:
        with self._lock:
            if tenant not in self._accounts:
                kept = KeptToken(partial(self._ask, tenant), self._clock)
                self._accounts[tenant] = _Account(kept)
            return self._accounts[tenant]

    def _ask(self, tenant: Tenant, until: float) -> Token:
        discovery = self._discover(tenant, self._account(tenant), until)
        endpoint = discovery.get("token_endpoint")
        if not isinstance(endpoint, str):
            raise EhrAnswerInvalid("The EHR's smart-configuration names no token endpoint.")
        url = urljoin(tenant.fhir_base + "/", endpoint)
        algorithm = assertion_algorithm(_texts(discovery, ALGORITHMS_OFFERED))
        if algorithm is None:
            raise EhrRefused("The EHR's token endpoint accepts neither RS384 nor ES384.")
        sign = partial(self._assertion.sign, str(tenant.client_id), url, algorithm)
        for scopes in _wishes(discovery, self._scopes):
            answer = self._post(tenant, sign, url, scopes, until)
            if answer.get("error") != "invalid_scope":
                return token_in(answer, " ".join(scopes), self._clock())
        asked = " ".join(self._scopes)
        raise EhrRefused(f"The EHR grants Sightline's client none of these scopes: {asked}.")

    def _discover(self, tenant: Tenant, account: _Account, until: float) -> Mapping[str, Any]:
        now = self._clock()
        if account.discovery is None or now > account.discovered_at + DISCOVERY_LIFE_S:
            url = tenant.fhir_base + "/.well-known/smart-configuration"
            session = self._egress.session_for(tenant, body_s=5.0)
            headers = {"Accept": "application/json"}
            response = send(lambda left_s: session.get(url, headers=headers, timeout=left_s), until)
            if response.status_code != 200:
                raise EhrAnswerInvalid("The EHR publishes no smart-configuration.")
            account.discovery, account.discovered_at = json_object(response), now
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
        response = send(lambda left_s: session.post(url, data=form, timeout=left_s), until)
        if response.status_code == 400:
            answer = json_object(response)
            if answer.get("error") == "invalid_scope":
                return answer
        if response.status_code != 200:
            raise EhrRefused(f"The EHR's token endpoint answered {response.status_code}.")
        return json_object(response)


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
