"""Check what an EHR's FHIR server says that it can do: what is read, written and subscribed to.

Source: FHIR R4 capabilitystatement.html; architecture "Write-back is negotiated per tenant".
"""

from collections.abc import Iterator

from cds_service.domain.intake import Door
from cds_service.domain.tenant import Tenant
from cds_service.fhir.capability_statement import Capabilities, capabilities_in
from cds_service.usecases.ehr_probes import Outcome, Probes, Said
from cds_service.usecases.publish_findings import why_nothing_written

READ, SEARCH, CREATE, UPDATE = "read", "search-type", "create", "update"
_STUDIES = (("Patient", READ), ("ImagingStudy", SEARCH))
_ORDERS = (("Patient", READ), ("ServiceRequest", SEARCH), ("DiagnosticReport", SEARCH))
_WRITES = (
    *(("Observation", one) for one in (CREATE, SEARCH, UPDATE)),
    *(("DiagnosticReport", one) for one in (CREATE, SEARCH, UPDATE)),
    *(("Device", one) for one in (CREATE, SEARCH)),
    *(("Provenance", one) for one in (CREATE, SEARCH)),
)
WRITTEN = tuple(dict.fromkeys(kind for kind, _ in _WRITES))  # types
_CARDS_WORK = "Cards and the app work all the same."


def check_fhir(tenant: Tenant, probes: Probes) -> Iterator[Said]:
    """Yield what its CapabilityStatement says, as far as Sightline needs it."""
    served = capabilities_in(probes.statement(tenant))
    if served is None or not served.is_r4:
        text = "The FHIR base answers, and not as FHIR R4."
        yield Said("fhir", Outcome.FAILED, text, "Compare --fhir-base with its R4 address.")
        return
    yield Said("fhir", Outcome.OK, "The FHIR base answers as FHIR R4.")
    yield _reads(tenant, served)
    yield _writes(tenant, served)
    if tenant.opened(Door.SUBSCRIPTION):
        yield _subscription(served)


def _reads(tenant: Tenant, served: Capabilities) -> Said:
    wanted = _STUDIES if tenant.has_imaging_studies else _ORDERS
    lacking = _lacking(served, wanted)
    if lacking:
        advice = "Ask the EHR to offer it."
        if any(one.startswith("ImagingStudy") for one in lacking):
            advice = (
                "Ask the EHR to offer it; Oracle Health has none: --vendor oracle reads orders "
                "instead."
            )
        text = f"The FHIR server does not offer {', '.join(lacking)}."
        return Said("fhir-reading", Outcome.FAILED, text, advice)
    if tenant.has_imaging_studies and not tenant.archives and not served.offers("Endpoint", READ):
        text = "The FHIR server has no Endpoint, and the registration has no archive."
        advice = "Say where the images are: --archive URL."
        return Said("fhir-reading", Outcome.FAILED, text, advice)
    types = ", ".join(kind for kind, _ in wanted)
    return Said("fhir-reading", Outcome.OK, f"The FHIR server offers {types}.")


def _writes(tenant: Tenant, served: Capabilities) -> Said:
    unwanted = why_nothing_written(tenant)
    if unwanted is not None:
        text = f"Nothing is written back: {unwanted}."
        return Said("write-back", Outcome.NOT_SET_UP, text, _CARDS_WORK)
    lacking = _lacking(served, _WRITES)
    if not served.offers("Observation", CREATE):
        text = "Nothing can be written back: the FHIR server takes no Observation."
        return Said("write-back", Outcome.NOT_SET_UP, text, _CARDS_WORK)
    if lacking:
        text = f"The FHIR server does not offer {', '.join(lacking)}."
        advice = f"Ask the EHR to offer it: without, no finding is written. {_CARDS_WORK}"
        return Said("write-back", Outcome.FAILED, text, advice)
    how = "in one transaction" if served.takes_transactions else "one by one"
    text = f"The FHIR server takes {', '.join(WRITTEN)}, {how}."
    return Said("write-back", Outcome.OK, text)


def _subscription(served: Capabilities) -> Said:
    if served.offers("Subscription", CREATE):
        return Said("subscription", Outcome.OK, "The FHIR server takes Subscription.")
    text = "The FHIR server takes no Subscription, and the door subscription is open."
    advice = "Open the door fhir-polling instead: sightline intake open."
    return Said("subscription", Outcome.FAILED, text, advice)


def _lacking(served: Capabilities, wanted: tuple[tuple[str, str], ...]) -> list[str]:
    return [f"{kind} ({how})" for kind, how in wanted if not served.offers(kind, how)]
