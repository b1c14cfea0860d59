"""What tries a registered EHR, its archives and our own side."""

from collections.abc import Callable, Iterator
from functools import partial

from cds_service.adapters import subscriptions
from cds_service.adapters.archive_probe import ArchiveProbe
from cds_service.adapters.backend_token import (
    ORDER_SCOPES,
    READ_SCOPES,
    WRITE_SCOPES,
    BackendTokens,
)
from cds_service.adapters.background import in_background, wait_for
from cds_service.adapters.ehr_probe import (
    PROBE_S,
    capability_statement,
    kids_in,
    published_kids,
)
from cds_service.adapters.jwks import ClientKeys
from cds_service.adapters.queue import living_workers, redis_client
from cds_service.domain.archive_address import is_dimse
from cds_service.domain.tenant import Tenant
from cds_service.settings import Settings
from cds_service.usecases.check_ehr import check_ehr
from cds_service.usecases.ehr_probes import Installation, Probes, Said, Scopes
from cds_service.wiring.house import House, open_house
from cds_service.wiring.images import dimse_extra
from smart_app import discovery

REDIS_S = 2.0
CHECK_S = 10.0


def checked_ehr(settings: Settings, tenant: Tenant, *, is_ours: bool) -> Iterator[Said]:
    """Yield what is found about an EHR, check by check, none of which takes longer than 10 s.

    is_ours   whether the settings are the service's, and not those of a folder that is only read
    """
    house = open_house(settings)
    here = installation(settings, house) if is_ours else None
    return check_ehr(tenant, probes(house, here), bounded=_bounded)


def probes(house: House, here: Installation | None) -> Probes:
    """Build what tries an EHR as the service would."""
    archives = ArchiveProbe(house.egress.session_for, house.archive_auth)
    subscribing = BackendTokens(house.egress, house.assertion, scopes=subscriptions.SCOPES)

    def archive(tenant: Tenant, base: str) -> None:
        if is_dimse(base):
            _greet(house, tenant, base)
        else:
            archives.search(tenant, base)

    return Probes(
        statement=partial(capability_statement, session_for=house.egress.session_for),
        sign_in=partial(_sign_in, house),
        key_kinds=ClientKeys(house.egress).kinds,
        granted=partial(_granted, house.tokens),
        granted_to_subscribe=partial(_granted, subscribing),
        archive=archive,
        feed=archives.feed,
        models=partial(_models, house),
        scopes=Scopes(READ_SCOPES, ORDER_SCOPES, WRITE_SCOPES, subscriptions.SCOPES),
        installation=here,
    )


def installation(settings: Settings, house: House) -> Installation:
    """Build what tries our own side."""
    redis = redis_client(settings.redis_url, timeout_s=REDIS_S)

    def publishes_our_keys(address: str) -> bool:
        return kids_in(house.assertion.public_jwks()) <= published_kids(address)

    return Installation(settings.public_url, publishes_our_keys, partial(living_workers, redis))


def _bounded(check: Callable[[], list[Said]]) -> list[Said]:
    return wait_for(in_background(check, "check"), CHECK_S, f"This took longer than {CHECK_S:g} s.")


def _sign_in(house: House, tenant: Tenant) -> frozenset[str]:
    session = house.egress.session_for(tenant, timeout_s=PROBE_S, body_s=PROBE_S)
    document = discovery.smart_configuration(tenant, session)
    discovery.server_in(document, tenant)
    return discovery.capabilities_in(document)


def _granted(tokens: BackendTokens, tenant: Tenant) -> str:
    token = tokens.token(tenant, timeout_s=PROBE_S)
    return "" if token is None else token.scope


def _models(house: House, tenant: Tenant) -> int:
    return len([house.shelf.card(one) for one in house.shelf.enabled().of(tenant.id)])


def _greet(house: House, tenant: Tenant, base: str) -> None:
    with dimse_extra():
        from cds_service.adapters.dimse.client import Patience
        from cds_service.adapters.dimse.greeting import greet
    greet(tenant, base, house.egress.addresses, Patience(PROBE_S, PROBE_S, PROBE_S))
