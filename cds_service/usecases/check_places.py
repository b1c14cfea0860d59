"""Check where images come from, and our own side.

Source: docs/how-to/connect-an-archive.md, docs/how-to/run-on-servers.md.
"""

from collections.abc import Iterator
from urllib.parse import urlsplit

from cds_service.domain.intake import Door
from cds_service.domain.tenant import Tenant
from cds_service.errors import UpstreamFailed
from cds_service.usecases.ehr_probes import Installation, Outcome, Probes, Said

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_OWN_KEYS = "/app/.well-known/jwks.json"


def no_archive(_tenant: Tenant, _probes: Probes) -> Iterator[Said]:
    """Yield that the registration names none."""
    text = "The registration has no archive."
    advice = "Name it with --archive URL, unless archives push their images to Sightline."
    yield Said("archive", Outcome.NOT_SET_UP, text, advice)


def check_archive(tenant: Tenant, probes: Probes, *, base: str) -> Iterator[Said]:
    """Yield whether an archive answers a search, or an association for it, with our credentials."""
    probes.archive(tenant, base)
    yield Said("archive", Outcome.OK, f"The archive {base} lets Sightline search.")


def check_feed(tenant: Tenant, probes: Probes, *, door: Door) -> Iterator[Said]:
    """Yield whether the archive's change feed answers."""
    probes.feed(tenant, door)
    yield Said("change-feed", Outcome.OK, f"The change feed of the door {door.value} answers.")


def check_models(tenant: Tenant, probes: Probes) -> Iterator[Said]:
    """Yield how many models read this EHR's studies."""
    count = probes.models(tenant)
    if not count:
        text, advice = "No model is enabled here.", "Enable one: sightline models enable ID."
        yield Said("models", Outcome.FAILED, text, advice)
        return
    yield Said(
        "models", Outcome.OK, f"{count} {'models are' if count > 1 else 'model is'} enabled."
    )


def check_public_url(_tenant: Tenant, probes: Probes) -> Iterator[Said]:
    """Yield whether browsers may keep the app's cookie in the EHR's frame."""
    if probes.installation is None:
        text = "Which address and which Redis the service has is not known here."
        advice = "Check that in the service's shell, with its settings SIGHTLINE_*."
        yield Said("public-url", Outcome.NOT_SET_UP, text, advice)
        return
    parts = urlsplit(probes.installation.public_url)
    if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
        text = "SIGHTLINE_PUBLIC_URL is not https: browsers refuse the app's cookie in a frame."
        advice = "Serve it over https, and correct SIGHTLINE_PUBLIC_URL and the EHR's settings."
        yield Said("public-url", Outcome.FAILED, text, advice)
        return
    yield Said("public-url", Outcome.OK, "SIGHTLINE_PUBLIC_URL is https, or on this machine.")


def check_own_keys(here: Installation) -> Iterator[Said]:
    """Yield whether the EHR can find Sightline's keys, as seen from here."""
    where = f"{here.public_url}{_OWN_KEYS}"
    try:
        is_ours = here.publishes_our_keys(where)
    except UpstreamFailed:
        text = f"{where} cannot be reached from here."
        advice = "Start the service; behind a proxy, try that address from the EHR's side."
        yield Said("own-keys", Outcome.WARNING, text, advice)
        return
    if not is_ours:
        text = f"The keys at {where} are not this installation's."
        advice = "Let every machine have the same SIGHTLINE_SIGNING_KEY_FILE."
        yield Said("own-keys", Outcome.FAILED, text, advice)
        return
    yield Said("own-keys", Outcome.OK, f"Sightline's keys are at {where}.")


def check_workers(here: Installation) -> Iterator[Said]:
    """Yield whether Redis answers, and whether somebody analyses."""
    count = here.workers()
    yield Said("redis", Outcome.OK, "Redis answers.")
    if not count:
        text = "No worker is alive: studies wait."
        yield Said("workers", Outcome.FAILED, text, "Start one: sightline worker.")
        return
    alive = f"{count} workers are alive." if count > 1 else "1 worker is alive."
    yield Said("workers", Outcome.OK, alive)
