"""The public keys of the CDS clients: pinned in the registration, or fetched and kept a while.

Source: RFC 7517; CDS Hooks 2.0 "Trusting CDS Clients"; threat T2 (only the registered address is
fetched, an unknown kid asks again at most once a minute). A hook waits no longer than it can.
"""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock

import requests
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from cds_service.adapters.background import in_background, wait_for
from cds_service.adapters.egress import MEBIBYTE, Egress
from cds_service.domain.tenant import ALGORITHM_KEYS, Tenant
from cds_service.errors import EhrAnswerInvalid, EhrBusy, EhrTimedOut, UpstreamFailed
from cds_service.fhir import bounded_json

log = logging.getLogger(__name__)

FRESH_S = 600.0  # then it is fetched again, in the background
STALE_S = 24 * 3600.0  # while the address does not answer, the last set is good for so long
ASK_AGAIN_S = 60.0  # for a kid that the set at hand has not got
TRY_AGAIN_S = 5.0  # after a failure, while there is no set at all and so nobody is let in
TIMEOUT_S = 3.0  # for the address; a hook that waits has less, and the next one finds the keys
MIN_RSA_BITS = 2048
MAX_KEYS = 50

PublicKey = ECKey | RSAKey | OKPKey
Keys = Mapping[str, PublicKey]


@dataclass(slots=True)
class _Shelf:
    """What is known of the key set at one address, and the download that is under way."""

    keys: Keys = field(default_factory=dict)
    fetched_at: float = float("-inf")
    asked_at: float = float("-inf")
    download: Future[None] | None = None


class ClientKeys:
    """Finds the key of a tenant's token by its kid."""

    def __init__(self, egress: Egress, clock: Callable[[], float] = time.monotonic) -> None:
        self._egress, self._clock = egress, clock
        self._shelves: dict[tuple[Tenant, str], _Shelf] = {}
        self._lock = Lock()  # never held during a download

    def find(
        self, tenant: Tenant, kid: str, jku: str | None = None, *, timeout_s: float = TIMEOUT_S
    ) -> PublicKey | None:
        """Return the key, or None; raise UpstreamFailed when no usable set can be had in time.

        jku  a registered one: looked at when the registered set has not got the key
        """
        if tenant.jwks is not None:
            return _parsed(tenant.jwks).get(kid)
        until = time.monotonic() + timeout_s
        failure: UpstreamFailed | None = None
        for address in dict.fromkeys(one for one in (tenant.jwks_url, jku) if one):
            try:
                key = self._find(tenant, address, kid, until)
            except UpstreamFailed as error:
                failure = error
                continue
            if key is not None:
                return key
        if failure is not None:
            raise failure
        return None

    def kinds(self, tenant: Tenant, address: str | None) -> frozenset[str]:
        """Return which kinds of key, as ALGORITHM_KEYS names them, are at this address now.

        address  None: in the pinned set

        Raises as `find`.
        """
        if address is None:
            keys = _parse((tenant.jwks or "").encode())
        else:
            keys = self._fetch(tenant, address)
        return frozenset(
            "RSA" if isinstance(one, RSAKey) else one.curve_name for one in keys.values()
        )

    def _find(self, tenant: Tenant, address: str, kid: str, until: float) -> PublicKey | None:
        with self._lock:
            shelf = self._shelves.setdefault((tenant, address), _Shelf())
        age_s = self._clock() - shelf.fetched_at
        if kid not in shelf.keys or age_s > STALE_S:
            download = self._download(tenant, address, shelf)
            if download is not None:
                late = "The EHR's key set gave no answer in time."
                wait_for(download, until - time.monotonic(), late)
            elif age_s > STALE_S:
                raise EhrBusy("The EHR's key set could not be read a moment ago.")
        elif age_s > FRESH_S:
            self._download(tenant, address, shelf)
        return shelf.keys.get(kid)

    def _download(self, tenant: Tenant, address: str, shelf: _Shelf) -> Future[None] | None:
        """Return the download under way, or a new one; None when one ended a moment ago."""
        with self._lock:
            if shelf.download is None or shelf.download.done():
                is_usable = self._clock() - shelf.fetched_at <= STALE_S
                pause_s = ASK_AGAIN_S if is_usable else TRY_AGAIN_S
                if self._clock() - shelf.asked_at < pause_s:
                    return None
                shelf.asked_at = self._clock()
                shelf.download = in_background(lambda: self._fill(tenant, address, shelf), "jwks")
            return shelf.download

    def _fill(self, tenant: Tenant, address: str, shelf: _Shelf) -> None:
        try:
            shelf.keys = self._fetch(tenant, address)
        except UpstreamFailed as error:
            log.warning("key set not read: ehr=%r error=%s", tenant.name, type(error).__name__)
            raise
        shelf.fetched_at = self._clock()

    def _fetch(self, tenant: Tenant, address: str) -> Keys:
        session = self._egress.session_for(tenant, body_s=2.0, max_bytes=MEBIBYTE)
        try:
            response = session.get(
                address, headers={"Accept": "application/json"}, timeout=TIMEOUT_S
            )
        except requests.Timeout as error:
            raise EhrTimedOut("The EHR's key set gave no answer in time.") from error
        except requests.RequestException as error:
            raise EhrBusy("The EHR's key set could not be reached.") from error
        if response.status_code != 200:
            raise EhrBusy(f"The EHR's key set answered {response.status_code}.")
        keys = _parse(response.content)
        if not keys:
            raise EhrAnswerInvalid("The EHR's key set has no key that Sightline accepts.")
        return keys


@lru_cache(maxsize=64)
def _parsed(pinned: str) -> Keys:
    return _parse(pinned.encode())


def _parse(text: bytes) -> Keys:
    """Keep the signature keys that we accept; one that is odd costs itself alone."""
    try:
        document = bounded_json.parse(text)
    except ValueError as error:
        raise EhrAnswerInvalid("The EHR's key set is not JSON.") from error
    listed = document.get("keys") if isinstance(document, dict) else None
    keys: dict[str, PublicKey] = {}
    for one in (listed if isinstance(listed, list) else [])[:MAX_KEYS]:
        key = _public_key(one)
        if key is not None:
            keys.setdefault(one["kid"], key)
    return keys


def _public_key(jwk: object) -> PublicKey | None:
    if not isinstance(jwk, dict) or not isinstance(jwk.get("kid"), str):
        return None
    if jwk.get("kty") not in ("EC", "RSA", "OKP") or jwk.get("use", "sig") != "sig" or "d" in jwk:
        return None
    try:
        # Only the public members: alg and key_ops of others must not decide what we allow.
        key = import_key(
            {name: jwk[name] for name in ("kty", "crv", "x", "y", "n", "e") if name in jwk}
        )
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    if isinstance(key, RSAKey):
        return key if key.public_key.key_size >= MIN_RSA_BITS else None
    if isinstance(key, ECKey | OKPKey) and key.curve_name in ALGORITHM_KEYS.values():
        return key
    return None
