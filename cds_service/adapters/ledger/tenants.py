"""The registered EHRs, in the ledger.

Source: ports Tenants, TenantRegister, DoorRegister, ArchiveCredentials.
"""

from dataclasses import asdict, replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from cds_service.adapters.ledger.connection import insert_if_new, reading, writing
from cds_service.adapters.ledger.encoding import credentials_document, credentials_from
from cds_service.adapters.ledger.schema import intake_bell, intake_cursor, tenant
from cds_service.domain.archive_credential import ArchiveCredential
from cds_service.domain.binding import Strictness
from cds_service.domain.dialect import DialectName
from cds_service.domain.image_form import ImageForm
from cds_service.domain.intake import Door
from cds_service.domain.smart_client import ClientKind
from cds_service.domain.tenant import Tenant, Vendor
from cds_service.errors import NotFound, RegistrationRefused

_LISTS = (
    *("jkus", "algorithms", "audiences", "tenant_claims", "origins"),
    *("app_users", "reviewers", "doors", "other_archives"),
)
# Column, and what a person calls it.
_UNIQUE = (
    (tenant.c.name, "name"),
    (tenant.c.fhir_base, "FHIR base"),
)


class SqlTenants:
    """The tenant table; read on every call, so that a registration needs no restart."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def get(self, tenant_id: str) -> Tenant:
        """Return the tenant; raise NotFound."""
        with reading(self._engine) as connection:
            row = connection.execute(
                sa.select(tenant).where(tenant.c.id == tenant_id)
            ).one_or_none()
        if row is None:
            raise NotFound("There is no such EHR registration.")
        return _tenant(row)

    def all(self) -> list[Tenant]:
        """Return every tenant, by name."""
        with reading(self._engine) as connection:
            return [
                _tenant(row)
                for row in connection.execute(sa.select(tenant).order_by(tenant.c.name))
            ]

    def add(self, new: Tenant) -> None:
        """Store it; raise RegistrationRefused naming what is taken."""
        with writing(self._engine) as connection:
            if connection.execute(sa.select(tenant.c.id).where(tenant.c.id == new.id)).first():
                raise RegistrationRefused("This EHR is registered already.")
            _refuse_taken(connection, new)
            if not insert_if_new(connection, tenant, **_values(new)):
                raise RegistrationRefused("This EHR is registered already.")

    def change(self, changed: Tenant) -> None:
        """Put it in the place of the one with its id; raise NotFound, and as `add` does."""
        with writing(self._engine) as connection:
            _refuse_taken(connection, changed)
            update = sa.update(tenant).where(tenant.c.id == changed.id).values(**_values(changed))
            if connection.execute(update).rowcount != 1:
                raise NotFound("There is no such EHR registration.")

    def remove(self, tenant_id: str) -> None:
        """Forget it; raise NotFound. Its results stay for the retention period."""
        with writing(self._engine) as connection:
            for part in (intake_cursor, intake_bell):
                connection.execute(sa.delete(part).where(part.c.tenant_id == tenant_id))
            removed = connection.execute(sa.delete(tenant).where(tenant.c.id == tenant_id))
            if removed.rowcount != 1:
                raise NotFound("There is no such EHR registration.")

    def set_door(self, tenant_id: str, door: Door, *, is_open: bool) -> None:
        """Open or close it; raise NotFound. Twice has the effect of once."""
        with writing(self._engine) as connection:
            before = _held(connection, tenant_id)
            doors = {*before.doors, door} if is_open else {*before.doors} - {door}
            _set(connection, tenant_id, doors=[one.value for one in Door if one in doors])

    def set_change_feed(self, tenant_id: str, address: str) -> None:
        """Store the base of its archive's change feed; raise NotFound.

        The credentials of the feed before are forgotten, unless its archive has them too.
        """
        with writing(self._engine) as connection:
            after = replace(_held(connection, tenant_id), change_feed=address)
            _set(connection, tenant_id, change_feed=address)
            _set_credentials(connection, tenant_id, after.credentials_in_use)

    def set_archive_credential(self, tenant_id: str, credential: ArchiveCredential) -> None:
        """Store it in the place of its base's earlier one; raise NotFound."""
        with writing(self._engine) as connection:
            others = _others(_held(connection, tenant_id), credential.base)
            _set_credentials(connection, tenant_id, (*others, credential))

    def remove_archive_credential(self, tenant_id: str, base: str) -> bool:
        """Forget that of this base; False where there is none. Raises NotFound."""
        with writing(self._engine) as connection:
            before = _held(connection, tenant_id)
            others = _others(before, base)
            _set_credentials(connection, tenant_id, others)
            return others != before.archive_credentials


def _held(connection: Connection, tenant_id: str) -> Tenant:
    """Return the tenant, which nobody else changes until the transaction ends."""
    chosen = sa.select(tenant).where(tenant.c.id == tenant_id).with_for_update()
    row = connection.execute(chosen).one_or_none()
    if row is None:
        raise NotFound("There is no such EHR registration.")
    return _tenant(row)


def _others(one: Tenant, base: str) -> tuple[ArchiveCredential, ...]:
    return tuple(known for known in one.archive_credentials if known.base != base)


def _set(connection: Connection, tenant_id: str, **values: object) -> None:
    connection.execute(sa.update(tenant).where(tenant.c.id == tenant_id).values(**values))


def _set_credentials(
    connection: Connection, tenant_id: str, credentials: tuple[ArchiveCredential, ...]
) -> None:
    _set(connection, tenant_id, archive_credentials=credentials_document(credentials))


def _values(one: Tenant) -> dict[str, object]:
    lists = {name: list(getattr(one, name)) for name in _LISTS}
    credentials = credentials_document(one.archive_credentials)
    return asdict(one) | lists | {"archive_credentials": credentials}


def _refuse_taken(connection: Connection, new: Tenant) -> None:
    """Raise RegistrationRefused where another tenant has what must be its own."""
    others = sa.select(tenant).where(tenant.c.id != new.id)
    for column, word in _UNIQUE:
        if connection.execute(others.where(column == getattr(new, column.key))).first() is not None:
            raise RegistrationRefused(f"An EHR with this {word} is registered already.")
    for row in connection.execute(others.where(tenant.c.hook_issuer == new.hook_issuer)):
        if not new.shares_issuer_with(_tenant(row)):
            raise RegistrationRefused("An EHR with this hook issuer is registered already.")


def _tenant(row: Row[tuple[object, ...]]) -> Tenant:
    return Tenant(
        id=row.id,
        name=row.name,
        fhir_base=row.fhir_base,
        hook_issuer=row.hook_issuer,
        jwks_url=row.jwks_url,
        jwks=row.jwks,
        jkus=tuple(row.jkus),
        algorithms=tuple(row.algorithms),
        audiences=tuple(row.audiences),
        tenant_claims=tuple(row.tenant_claims),
        subject=row.subject,
        discovery_needs_token=row.discovery_needs_token,
        client_id=row.client_id,
        client_kind=ClientKind(row.client_kind),
        client_secret=row.client_secret,
        archive_base=row.archive_base,
        origins=tuple(row.origins),
        vendor=Vendor(row.vendor),
        dialect=DialectName(row.dialect),
        backend_services=row.backend_services,
        shows_running=row.shows_running,
        shows_negative=row.shows_negative,
        shows_mismatch=row.shows_mismatch,
        app_users=tuple(row.app_users),
        reviewers=tuple(row.reviewers),
        critical_limit_min=row.critical_limit_min,
        language=row.language,
        shows_drafts=row.shows_drafts,
        doors=tuple(Door(door) for door in row.doors),
        change_feed=row.change_feed,
        binding=Strictness(row.binding),
        other_archives=tuple(row.other_archives),
        images=ImageForm(row.images),
        archive_credentials=credentials_from(row.archive_credentials),
    )
