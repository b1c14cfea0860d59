"""The public keys of the CDS clients: pinned in the registration, or fetched and kept a while.

Source: RFC 7517; CDS Hooks 2.0 "Trusting CDS Clients"; threat T2 (only the registered address is
fetched, an unknown kid asks again at most once a minute).
"""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import lru_cache
from threading import Lock

import requests
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey, import_key

from cds_service.adapters.egress import MEBIBYTE, Egress
from cds_service.domain.tenant import ALGORITHM_KEYS, Tenant
from cds_service.errors import EhrAnswerInvalid, EhrBusy, EhrTimedOut, UpstreamFailed
from cds_service.fhir import bounded_json

log = logging.getLogger(__name__)

FRESH_S = 600.0  # then it is fetched again, in the background
STALE_S = 24 * 3600.0  # while the address does not answer, the last set is good for so long
ASK_AGAIN_S = 60.0
TIMEOUT_S = 1.0  # a hook is waiting
MIN_RSA_BITS = 2048
MAX_KEYS = 50

PublicKey = ECKey | RSAKey | OKPKey
Keys = Mapping[str, PublicKey]


@dataclass(slots=True)
class _Shelf:
    """What is known of the key set at one address; its lock makes fetching single-flight."""

    address: str

    lock: Lock = field(default_factory=Lock)
    keys: Keys = field(default_factory=dict)
    fetched_at: float = float("-inf")
    asked_at: float = float("-inf")
    is_refreshing: bool = False


class ClientKeys:
    """Finds the key of a tenant's token by its kid."""

    def __init__(
        self, egress: Egress, pool: Executor, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`pool` runs the refreshes that nobody waits for."""
        self._egress, self._pool, self._clock = egress, pool, clock
        self._shelves: dict[tuple[Tenant, str], _Shelf] = {}
        self._lock = Lock()

    def find(self, tenant: Tenant, kid: str, jku: str | None = None) -> PublicKey | None:
        """Return the key, or None; raise UpstreamFailed when no usable set can be had.

        jku  a registered one: looked at when the registered set has not got the key
        """
        if tenant.jwks is not None:
            return _parsed(tenant.jwks).get(kid)
        failure: UpstreamFailed | None = None
        for address in dict.fromkeys(one for one in (tenant.jwks_url, jku) if one):
            try:
                key = self._find(tenant, address, kid)
            except UpstreamFailed as error:
                failure = error
                continue
            if key is not None:
                return key
        if failure is not None:
            raise failure
        return None

    def _find(self, tenant: Tenant, address: str, kid: str) -> PublicKey | None:
        with self._lock:
            shelf = self._shelves.setdefault((tenant, address), _Shelf(address))
        age_s = self._clock() - shelf.fetched_at
        if kid not in shelf.keys or age_s > STALE_S:
            self._fetch(tenant, shelf)
        elif age_s > FRESH_S and not shelf.is_refreshing:
            shelf.is_refreshing = True
            self._pool.submit(self._refresh, tenant, shelf)
        return shelf.keys.get(kid)

    def _refresh(self, tenant: Tenant, shelf: _Shelf) -> None:
        try:
            self._fetch(tenant, shelf)
        except UpstreamFailed as error:
            log.warning("key set not read: ehr=%r error=%s", tenant.name, type(error).__name__)
        finally:
            shelf.is_refreshing = False

    def _fetch(self, tenant: Tenant, shelf: _Shelf) -> None:
        """Fetch unless somebody did within the last minute."""
        with shelf.lock:
            if self._clock() - shelf.asked_at < ASK_AGAIN_S:
                if self._clock() - shelf.fetched_at > STALE_S:
                    raise EhrBusy("The EHR's key set could not be read a moment ago.")
                return
            shelf.asked_at = self._clock()
            shelf.keys = self._download(tenant, shelf.address)
            shelf.fetched_at = self._clock()

    def _download(self, tenant: Tenant, address: str) -> Keys:
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
