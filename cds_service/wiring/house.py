"""What every process builds first: the ledger, the keys and the door to other machines."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from secrets import token_urlsafe

from sqlalchemy import Engine

from cds_service.adapters import ledger
from cds_service.adapters.archive_auth import ArchiveAuth
from cds_service.adapters.backend_token import BackendTokens
from cds_service.adapters.client_assertion import ClientAssertion
from cds_service.adapters.egress import Egress
from cds_service.adapters.model_shelf import ModelShelf
from cds_service.adapters.signing_keys import SigningKeyFile
from cds_service.adapters.vault import Vault, load_or_create_key
from cds_service.domain.audit import AuditAction, AuditEvent
from cds_service.domain.tenant import Tenant
from cds_service.errors import NotFound
from cds_service.settings import Settings
from cds_service.usecases.archive_credentials import open_archive_credential

log = logging.getLogger(__name__)


def clock() -> datetime:
    """Return the time, aware, UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return an unguessable id of 128 bits, safe in a URL."""
    return token_urlsafe(16)


@dataclass(frozen=True, slots=True)
class House:
    """What every process shares: the ledger, the keys and the door to other machines."""

    engine: Engine
    vault: Vault
    assertion: ClientAssertion
    egress: Egress
    tokens: BackendTokens
    archive_auth: ArchiveAuth
    tenants: ledger.SqlTenants
    jobs: ledger.SqlJobs
    results: ledger.SqlResults
    audit: ledger.SqlAuditLog
    shelf: ModelShelf


def open_house(settings: Settings) -> House:
    """Connect to an installation; raises SettingsInvalid or LedgerUnavailable."""
    engine = ledger.connect(settings.database_url)
    ledger.check(engine)
    vault = Vault(load_or_create_key(settings.master_key_file))
    keys = SigningKeyFile(settings.signing_key_file)
    keys.create_if_absent(clock())
    keys.read()  # a wrong file stops the start, not the first launch
    assertion = ClientAssertion(keys.read)
    audit = ledger.SqlAuditLog(engine)
    egress = Egress(on_refused=_auditing(audit))
    tokens = BackendTokens(egress, assertion)
    return House(
        engine=engine,
        vault=vault,
        assertion=assertion,
        egress=egress,
        tokens=tokens,
        archive_auth=ArchiveAuth(egress, partial(open_archive_credential, vault=vault), tokens),
        tenants=ledger.SqlTenants(engine),
        jobs=ledger.SqlJobs(
            engine, vault, lease_s=settings.job_lease_s, attempts=settings.job_attempts
        ),
        results=ledger.SqlResults(engine),
        audit=audit,
        shelf=ModelShelf(settings.data, settings.model_id),
    )


def prepare_installation(settings: Settings) -> None:
    """Make the folder, the keys and the ledger's tables, or bring them up to date."""
    settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    load_or_create_key(settings.master_key_file)
    keys = SigningKeyFile(settings.signing_key_file)
    keys.create_if_absent(clock())
    keys.complete(clock())
    ledger.upgrade(ledger.connect(settings.database_url))


def register_sandbox(settings: Settings, tenant: Tenant) -> None:
    """Register the demo's EHR, again when its ports have changed; its results stay."""
    house = open_house(settings)
    try:
        if house.tenants.get(tenant.id) == tenant:
            return
        house.tenants.remove(tenant.id)
    except NotFound:
        pass
    house.tenants.add(tenant)


def results(settings: Settings) -> ledger.SqlResults:
    """Return the results of an installation, to read."""
    return ledger.SqlResults(ledger.connect(settings.database_url))


def _auditing(audit: ledger.SqlAuditLog) -> Callable[[Tenant, str], None]:
    def refused(tenant: Tenant, where: str) -> None:
        log.warning("address refused: tenant=%s origin=%s", tenant.id, where)
        audit.record(
            AuditEvent(
                action=AuditAction.ADDRESS_REFUSED,
                at=clock(),
                tenant_id=tenant.id,
                agent="egress",
                outcome="refused",
                detail=where,
            )
        )

    return refused
