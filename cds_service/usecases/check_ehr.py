"""Check an EHR: try each thing that Sightline needs of it, and say what to do about what fails.

Nothing is changed at the EHR or here, and nothing of what is read is repeated.

Source: docs/how-to/connect-an-ehr.md "Then check it".
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from cds_service.domain.archive_address import is_dimse
from cds_service.domain.intake import CHANGE_FEEDS, Door
from cds_service.domain.tenant import Tenant
from cds_service.errors import SightlineError
from cds_service.usecases.check_fhir import check_fhir
from cds_service.usecases.check_places import (
    check_archive,
    check_feed,
    check_models,
    check_own_keys,
    check_public_url,
    check_workers,
    no_archive,
)
from cds_service.usecases.check_trust import (
    SUBSCRIBE,
    check_hook_keys,
    check_sign_in,
    check_token,
    check_token_to_subscribe,
)
from cds_service.usecases.ehr_probes import Outcome, Probes, Said

Check = Callable[[Tenant, Probes], Iterable[Said]]
# Name, check, and what to do when it finds nothing out.
Step = tuple[str, Check, str]
# Runs a check; raises EhrTimedOut when it takes too long.
Bounded = Callable[[Callable[[], list[Said]]], list[Said]]

_CLIENT = (
    "Compare --client-id with the EHR's, and let the EHR read Sightline's keys at "
    "/app/.well-known/jwks.json of SIGHTLINE_PUBLIC_URL."
)


def check_ehr(tenant: Tenant, probes: Probes, *, bounded: Bounded) -> Iterator[Said]:
    """Yield what was found, check by check; one that fails does not stop the next."""
    for name, check, advice in _steps(tenant, probes):
        try:
            yield from bounded(partial(_found, check, tenant, probes))
        except SightlineError as error:
            yield Said(name, Outcome.FAILED, str(error), advice)


def _found(check: Check, tenant: Tenant, probes: Probes) -> list[Said]:
    return list(check(tenant, probes))


def _steps(tenant: Tenant, probes: Probes) -> Iterator[Step]:
    yield "fhir", check_fhir, "Compare --fhir-base with the EHR's FHIR R4 address."
    yield "sign-in", check_sign_in, "Ask the EHR for what SMART App Launch 2 wants of it."
    for option, address in _key_sets(tenant):
        check = partial(check_hook_keys, address=address, option=option)
        where = f"{option} {address}" if address else option
        yield "hook-keys", check, f"Compare {where} with the keys that sign the EHR's hooks."
    yield "token", check_token, _CLIENT
    if tenant.opened(Door.SUBSCRIPTION) and tenant.has_backend_client:
        yield "scopes-subscription", check_token_to_subscribe, SUBSCRIBE
    yield from _archives(tenant)
    yield "models", check_models, "See sightline models list."
    yield "public-url", check_public_url, ""
    here = probes.installation
    if here is not None:
        yield "own-keys", lambda *_: check_own_keys(here), "Start the service."
        yield "redis", lambda *_: check_workers(here), "Start Redis; compare SIGHTLINE_REDIS_URL."


def _key_sets(tenant: Tenant) -> Iterator[tuple[str, str | None]]:
    """Yield the option that names a key set, and its address; None: the set is pinned."""
    yield "--jwks", tenant.jwks_url
    for address in tenant.jkus:
        if address != tenant.jwks_url:
            yield "--jku", address


def _archives(tenant: Tenant) -> Iterator[Step]:
    for base in tenant.archives:
        advice = "compare its DICOMweb address, or see sightline archive credential."
        if is_dimse(base):
            advice = "compare it, and let the archive allow our AE title C-FIND and C-GET."
        yield "archive", partial(check_archive, base=base), f"That is {base}: {advice}"
    if not tenant.archives:
        yield "archive", no_archive, ""
    for door in tenant.doors:
        if door in CHANGE_FEEDS:
            advice = "Compare --feed of sightline intake open, or see sightline archive credential."
            yield "change-feed", partial(check_feed, door=door), advice
