"""What signs a request to an archive: the credentials of its registration, else our EHR token.

Source: RFC 7617 (Basic), RFC 6750 2.1 (Bearer), RFC 6749 2.3.1 and 4.4 (client credentials);
threats T7 and T29.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Protocol
from urllib.parse import quote_plus

import requests
from requests.auth import AuthBase, HTTPBasicAuth

from cds_service.adapters.backend_token import BackendTokens
from cds_service.adapters.egress import Egress, origin_of
from cds_service.adapters.kept_token import WAIT_S, Bearer, KeptToken, RenewedBearer
from cds_service.adapters.token_endpoint import Token, json_object, send, token_in
from cds_service.domain.archive_credential import AccessKind, ArchiveCredential
from cds_service.domain.tenant import Tenant
from cds_service.errors import (
    ArchiveFailed,
    ArchiveRefused,
    EhrAnswerInvalid,
    EhrBusy,
    EhrRefused,
    EhrTimedOut,
    SightlineError,
)

OpenSecret = Callable[[str, ArchiveCredential], str]  # of a tenant id and what is kept

_WHOSE = "The archive's token endpoint"


class AuthFor(Protocol):
    """Finds what signs a request of this tenant to this address."""

    def __call__(self, tenant: Tenant, url: str, *, timeout_s: float = WAIT_S) -> AuthBase | None:
        """Return it, or None for a request without credentials.

        timeout_s   for a token that must be asked for

        Raises ArchiveFailed or ArchiveRefused, EndpointNotAllowed, or as the EHR's token endpoint.
        """


def unsigned(tenant: Tenant, url: str, *, timeout_s: float = WAIT_S) -> None:
    """Sign nothing: an archive that is open."""


class ArchiveAuth:
    """The AuthFor of an installation; tokens are kept in memory only."""

    def __init__(
        self,
        egress: Egress,
        open_secret: OpenSecret,
        ehr_tokens: BackendTokens,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`open_secret`: `open_archive_credential` with the installation's vault."""
        self._egress, self._open_secret = egress, open_secret
        self._ehr_tokens, self._clock = ehr_tokens, clock
        self._kept: dict[tuple[Tenant, ArchiveCredential], KeptToken] = {}
        self._lock = Lock()  # never held during a call

    def __call__(self, tenant: Tenant, url: str, *, timeout_s: float = WAIT_S) -> AuthBase | None:
        """Return what signs; an archive with credentials of its own is never sent the EHR's."""
        credential = credential_for(tenant, url)
        if credential is None:
            return self._ehr_tokens.auth(tenant, timeout_s=timeout_s)
        if credential.kind is AccessKind.CLIENT_CREDENTIALS:
            return self._renewed(self._token_of(tenant, credential), timeout_s)
        secret = self._secret(tenant, credential)
        if credential.kind is AccessKind.BEARER:
            return Bearer(secret)
        return HTTPBasicAuth(credential.name.encode(), secret.encode())

    def _secret(self, tenant: Tenant, credential: ArchiveCredential) -> str:
        try:
            return self._open_secret(tenant.id, credential)
        except SightlineError as error:
            raise ArchiveRefused(
                "The archive's credentials cannot be opened: set them again."
            ) from error

    def _token_of(self, tenant: Tenant, credential: ArchiveCredential) -> KeptToken:
        with self._lock:
            if (tenant, credential) not in self._kept:
                ask = partial(self._ask, tenant, credential)
                self._kept[tenant, credential] = KeptToken(ask, self._clock, _WHOSE)
            return self._kept[tenant, credential]

    def _renewed(self, kept: KeptToken, timeout_s: float) -> RenewedBearer:
        def another(refused: Token) -> Token:
            kept.forget(refused)
            return get()

        def get() -> Token:
            with _as_archive():
                return kept.get(timeout_s)

        return RenewedBearer(get(), another)

    def _ask(self, tenant: Tenant, credential: ArchiveCredential, until: float) -> Token:
        """Ask as RFC 6749 wants every server to understand, else as many are set up."""
        url, client_id = str(credential.token_url), credential.name
        secret = self._secret(tenant, credential)
        form = {"grant_type": "client_credentials"}
        if credential.scope:
            form["scope"] = credential.scope
        in_header = HTTPBasicAuth(quote_plus(client_id), quote_plus(secret))
        in_body = {"client_id": client_id, "client_secret": secret}
        response = self._post(tenant, url, form, in_header, until)
        if response.status_code in (400, 401):
            response = self._post(tenant, url, form | in_body, None, until)
        if response.status_code != 200:
            raise EhrRefused(f"{_WHOSE} answered {response.status_code}: check the credentials.")
        answer = json_object(response, _WHOSE)
        return token_in(answer, credential.scope, self._clock(), _WHOSE)

    def _post(
        self,
        tenant: Tenant,
        url: str,
        form: Mapping[str, str],
        auth: AuthBase | None,
        until: float,
    ) -> requests.Response:
        session = self._egress.session_for(tenant, body_s=5.0)

        def call(left_s: float) -> requests.Response:
            return session.post(url, data=form, auth=auth, timeout=left_s)

        return send(call, until, _WHOSE)


def refused(status: int) -> ArchiveRefused:
    """Return the refusal of an archive that answered 401 or 403, with what to do."""
    return ArchiveRefused(
        f"The archive does not let us read (HTTP {status}): "
        "register its credentials with sightline archive credential."
    )


def credential_for(tenant: Tenant, url: str) -> ArchiveCredential | None:
    """Return the credentials that this address may be sent; None where it has none of its own.

    Those of the base that it lies below, else of another base at the very same origin, as
    Orthanc's DICOMweb and its REST API are.
    """
    if not tenant.credentials_in_use:
        return None
    here = origin_of(url)
    at_origin = [one for one in tenant.credentials_in_use if origin_of(one.base) == here]
    own = [one for one in at_origin if f"{url}/".startswith(f"{one.base}/")]
    return max(own or at_origin, key=lambda one: len(one.base), default=None)


@contextmanager
def _as_archive() -> Iterator[None]:
    """Tell failures of the archive's token endpoint as the archive's."""
    try:
        yield
    except (EhrRefused, EhrAnswerInvalid) as error:
        raise ArchiveRefused(str(error)) from error
    except (EhrBusy, EhrTimedOut) as error:
        raise ArchiveFailed(str(error)) from error
