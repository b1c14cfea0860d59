"""Check who trusts whom: the app's sign-in, the keys of the EHR's hooks, Sightline's own token.

Source: SMART App Launch 2.2 "Conformance", "Backend Services"; CDS Hooks 2.0 "Trusting CDS
Clients".
"""

from collections.abc import Iterator

from cds_service.domain.smart_client import ClientKind
from cds_service.domain.smart_scope import allows
from cds_service.domain.tenant import ALGORITHM_KEYS, Tenant
from cds_service.usecases.check_fhir import WRITTEN
from cds_service.usecases.ehr_probes import Outcome, Probes, Said
from cds_service.usecases.publish_findings import why_nothing_written

SUBSCRIBE = "Ask the EHR for that scope, or open the door fhir-polling instead."
_OF_A_CHART = ("launch-ehr", "context-ehr-patient", "permission-patient", "sso-openid-connect")
_OF_KIND = {
    ClientKind.ASYMMETRIC: "client-confidential-asymmetric",
    ClientKind.SYMMETRIC: "client-confidential-symmetric",
    ClientKind.PUBLIC: "client-public",
}


def check_sign_in(tenant: Tenant, probes: Probes) -> Iterator[Said]:
    """Yield whether the app can be launched, as far as the SMART configuration tells."""
    if tenant.client_id is None:
        text = "The app cannot be launched: the registration has no client id."
        yield Said("sign-in", Outcome.NOT_SET_UP, text, "Ask the EHR for one: --client-id ID.")
        return
    stated = probes.sign_in(tenant)
    lacking = [one for one in (*_OF_A_CHART, _OF_KIND[tenant.client_kind]) if one not in stated]
    if lacking:
        text = f"The SMART configuration does not state {', '.join(lacking)}."
        yield Said("sign-in", Outcome.WARNING, text, "Launch the app from a chart to see.")
        return
    yield Said("sign-in", Outcome.OK, "The app's sign-in is as SMART App Launch wants it, S256.")


def check_hook_keys(
    tenant: Tenant, probes: Probes, *, address: str | None, option: str
) -> Iterator[Said]:
    """Yield whether the key set at this address, or the pinned one, fits the algorithms.

    option   that names the set in the registration
    """
    kinds = probes.key_kinds(tenant, address)
    usable = [one for one in tenant.algorithms if ALGORITHM_KEYS[one] in kinds]
    if not usable:
        text = f"The key set of {option} has no key for {_any_of(tenant.algorithms)}."
        advice = f"Ask the EHR how it signs its hooks: --algorithm, else correct {option}."
        yield Said("hook-keys", Outcome.FAILED, text, advice)
        return
    yield Said("hook-keys", Outcome.OK, f"The key set of {option} has keys for {_all_of(usable)}.")


def check_token(tenant: Tenant, probes: Probes) -> Iterator[Said]:
    """Yield whether the EHR gives Sightline a token of its own, and what that is good for."""
    if not tenant.has_backend_client:
        text = "Sightline has no token of its own: the registration is for no client with keys."
        advice = "Reading needs what a hook brings. Register a client with keys: --client-id ID."
        yield Said("token", Outcome.NOT_SET_UP, text, advice)
        return
    granted = probes.granted(tenant)
    yield Said("token", Outcome.OK, "The EHR's token endpoint gives Sightline a token.")
    yield _reading(tenant, probes, granted)
    if why_nothing_written(tenant) is None:
        yield _writing(probes, granted)


def check_token_to_subscribe(tenant: Tenant, probes: Probes) -> Iterator[Said]:
    """Yield whether the EHR lets Sightline subscribe."""
    missing = _missing(probes.granted_to_subscribe(tenant), probes.scopes.subscribing)
    if missing:
        text = f"The EHR did not grant {' '.join(missing)}."
        yield Said("scopes-subscription", Outcome.FAILED, text, SUBSCRIBE)
        return
    yield Said("scopes-subscription", Outcome.OK, "The EHR lets Sightline subscribe.")


def _reading(tenant: Tenant, probes: Probes, granted: str) -> Said:
    if not tenant.backend_services:
        text = "Sightline does not read by itself: the registration says --no-own-reads."
        return Said("scopes-reading", Outcome.NOT_SET_UP, text)
    scopes = probes.scopes
    wanted = scopes.reading if tenant.has_imaging_studies else scopes.reading_orders
    if tenant.archives:  # an Endpoint says where images are, and so does the registration
        wanted = tuple(one for one in wanted if not one.startswith("system/Endpoint."))
    missing = _missing(granted, wanted)
    if missing:
        text = f"The EHR did not grant {' '.join(missing)} for reading."
        advice = "Ask the EHR to add it to Sightline's client, or say --no-own-reads."
        return Said("scopes-reading", Outcome.FAILED, text, advice)
    return Said("scopes-reading", Outcome.OK, "The EHR granted all that reading needs.")


def _writing(probes: Probes, granted: str) -> Said:
    wanted = tuple(one for one in probes.scopes.writing if _kind_of(one) in WRITTEN)
    missing = _missing(granted, wanted)
    if not missing:
        return Said("scopes-writing", Outcome.OK, "The EHR granted all that writing needs.")
    text = f"The EHR did not grant {' '.join(missing)} for writing."
    advice = "To write findings back, ask the EHR to add it to Sightline's client."
    outcome = Outcome.NOT_SET_UP if len(missing) == len(wanted) else Outcome.FAILED
    return Said("scopes-writing", outcome, text, advice)


def _missing(granted: str, wanted: tuple[str, ...]) -> list[str]:
    """Return those scopes of which a right was not granted, in either syntax."""
    missing = []
    for scope in wanted:
        rights = scope.rpartition(".")[2]
        if not all(allows(granted, _kind_of(scope), right) for right in rights):
            missing.append(scope)
    return missing


def _kind_of(scope: str) -> str:
    return scope.partition("/")[2].partition(".")[0]


def _any_of(names: tuple[str, ...]) -> str:
    return " or ".join(names)


def _all_of(names: list[str]) -> str:
    return " and ".join(names)
