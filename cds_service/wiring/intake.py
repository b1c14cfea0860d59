"""The intake doors, the inbox behind two of them, and the desk that all of them end at."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import partial
from ssl import SSLContext
from threading import Semaphore
from typing import TYPE_CHECKING

from cds_service.adapters import ledger, subscriptions
from cds_service.adapters.archive_json import ArchiveJson
from cds_service.adapters.azure_change_feed import AzureChangeFeed
from cds_service.adapters.backend_token import BackendTokens
from cds_service.adapters.ehr import FhirRecord
from cds_service.adapters.inbox_archive import InboxArchive
from cds_service.adapters.inbox_files import InboxFiles
from cds_service.adapters.inbox_header import identify
from cds_service.adapters.lanes import Lanes
from cds_service.adapters.model_shelf import enabled_routes
from cds_service.adapters.orthanc_changes import OrthancChanges
from cds_service.adapters.proxy_certificate import certificate_digest
from cds_service.adapters.qido_feed import QidoFeed
from cds_service.adapters.subscriptions import FhirSubscriptions
from cds_service.domain.inbox import MEBIBYTE, Quota
from cds_service.domain.intake import Door
from cds_service.domain.line import Priority
from cds_service.domain.tenant import Tenant
from cds_service.errors import SightlineError
from cds_service.intake.archive_polling import poll_archive
from cds_service.intake.bell import Belfry, subscribe
from cds_service.intake.fhir_polling import poll_fhir
from cds_service.intake.inbox import Arrival, Inbox
from cds_service.intake.poller import Poll, Poller, Source
from cds_service.intake.receive import READ_S, IntakeDesk
from cds_service.intake.refusals import Refusals
from cds_service.intake.settle_inbox import Settlement
from cds_service.settings import Settings
from cds_service.usecases.ports import ArchiveFeed
from cds_service.web import subscription
from cds_service.web.rate_limit import RateLimit
from cds_service.web.stow import UPLOADS, StowDoor

if TYPE_CHECKING:  # heavy, or an extra
    from cds_service.adapters.dimse.listener import Caller, DimseListener


from cds_service.wiring.dispatch import asker
from cds_service.wiring.house import House, clock, new_id, open_house
from cds_service.wiring.images import study_index

LOST_BELL_S = 600.0  # how long one can go unnoticed


BELLS_PER_S = 20.0  # of one EHR, in each web process; more are told to wait


def inbox(settings: Settings, house: House) -> Inbox:
    """Build what takes the images that archives push."""
    return Inbox(
        tenants=house.tenants,
        files=InboxFiles(settings.inbox),
        index=ledger.SqlInbox(house.engine, house.vault),
        identify=identify,
        quota=Quota(settings.inbox_mb * MEBIBYTE, settings.inbox_instances),
    )


def inbox_archive(settings: Settings, house: House) -> InboxArchive:
    """Return the images that were pushed, as an archive."""
    index = ledger.SqlInbox(house.engine, house.vault)
    return InboxArchive(index, InboxFiles(settings.inbox), identify)


def stow_door(settings: Settings, house: House) -> StowDoor:
    """Build the door at which archives push over HTTP."""
    header = settings.client_certificate_header
    return StowDoor(
        inbox=inbox(settings, house),
        tenant_of=ledger.SqlPushCredentials(house.engine).tenant_of,
        certificate_digest=None if header == "none" else certificate_digest,
        certificate_header=header,
        body_limit_bytes=settings.inbox_mb * MEBIBYTE,
        turns=Semaphore(UPLOADS),
        refused=partial(Refusals(house.audit, clock).note, Door.STOW_RS),
    )


def dimse_listener(
    settings: Settings,
    tenant: Tenant,
    address: tuple[str, int],
    ae_title: str,
    callers: "tuple[Caller, ...]",
    *,
    tls: SSLContext | None,
    associations: int,
) -> "DimseListener":
    """Build the listener at which one EHR's archive pushes; it listens from now on."""
    from cds_service.adapters.dimse.listener import DimseListener, Reception  # an extra

    house = open_house(settings)
    taking, refusals = inbox(settings, house), Refusals(house.audit, clock)

    def is_open() -> bool:
        with suppress(SightlineError):
            return taking.tenant_at(Door.DIMSE, tenant.id).id == tenant.id
        return False

    def take(arrival: Arrival, said: tuple[str, str]) -> None:
        taking.take(tenant.id, arrival, taking.look(arrival), said=said)

    reception = Reception(is_open, partial(taking.begin, tenant.id), take)
    return DimseListener(
        address,
        ae_title,
        callers,
        reception,
        tls=tls,
        associations=associations,
        on_refused=partial(refusals.note, Door.DIMSE, tenant_id=tenant.id),
    )


def settlement(settings: Settings) -> Settlement:
    """Build what binds pushed studies and erases what is over."""
    house = open_house(settings)
    return Settlement(
        desk=intake_desk(settings, house),
        tenants=house.tenants,
        index=ledger.SqlInbox(house.engine, house.vault),
        files=InboxFiles(settings.inbox),
        quiet_for=timedelta(seconds=settings.inbox_quiet_s),
        wait_for=timedelta(minutes=settings.inbox_wait_min),
    )


def intake_desk(settings: Settings, house: House) -> IntakeDesk:
    """Build what an intake door needs.

    It reads the EHR by itself: nobody waits for a door, so its long waits must not count as the
    EHR's failures towards a hook.
    """
    return IntakeDesk(
        record=FhirRecord(house.egress, house.tokens),
        jobs=house.jobs,
        results=house.results,
        audit=house.audit,
        dispatch=asker(settings, house, Priority.ROUTINE),
        routes=partial(enabled_routes, house.shelf),
        index=study_index(house, timeout_s=READ_S),
        clock=clock,
    )


def intake_poller(settings: Settings, *, every_s: float) -> Poller:
    """Build what asks the open doors, each of them so often."""
    house = open_house(settings)
    desk = intake_desk(settings, house)
    cursors = ledger.SqlIntakeCursors(house.engine)
    return Poller(
        house.tenants,
        {
            Door.FHIR_POLLING: Source(partial(poll_fhir, desk=desk, cursors=cursors), every_s),
            Door.SUBSCRIPTION: Source(_rung(desk, cursors), max(every_s, LOST_BELL_S)),
            **{
                door: Source(
                    partial(poll_archive, desk=desk, cursors=cursors, door=door, feed=feed), every_s
                )
                for door, feed in archive_feeds(house).items()
            },
        },
    )


def archive_feeds(house: House) -> dict[Door, ArchiveFeed]:
    """Build what asks archives which studies have come."""
    archive = ArchiveJson(house.egress.session_for, house.archive_auth)
    return {
        Door.DICOMWEB_POLLING: QidoFeed(archive, clock),
        Door.ORTHANC_CHANGES: OrthancChanges(archive),
        Door.AZURE_CHANGE_FEED: AzureChangeFeed(archive, clock),
    }


def bell_door(settings: Settings, house: House) -> Callable[[str, str, str], None]:
    """Build what hears an EHR's subscription: the path's secret part, the header, from where."""
    belfry = Belfry(
        bells=ledger.SqlIntakeBells(house.engine),
        tenants=house.tenants,
        limit=RateLimit(BELLS_PER_S).take,
        lane=Lanes(threads=1),
        poll=_rung(intake_desk(settings, house), ledger.SqlIntakeCursors(house.engine)),
        refused=partial(Refusals(house.audit, clock).note, Door.SUBSCRIPTION),
    )
    return belfry.hear


def subscribe_at(settings: Settings, tenant: Tenant) -> str:
    """Let this EHR ring; return the logical id of its Subscription. Raises UpstreamFailed."""
    house = open_house(settings)
    tokens = BackendTokens(house.egress, house.assertion, scopes=subscriptions.SCOPES)
    return subscribe(
        tenant,
        f"{settings.public_url}{subscription.PATH}",
        bells=ledger.SqlIntakeBells(house.engine),
        subscriptions=FhirSubscriptions(house.egress.session_for, tokens.auth),
        new_id=new_id,
    )


def _rung(desk: IntakeDesk, cursors: ledger.SqlIntakeCursors) -> Poll:
    return partial(poll_fhir, desk=desk, cursors=cursors, door=Door.SUBSCRIPTION)
