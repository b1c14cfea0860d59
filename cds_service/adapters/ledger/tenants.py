"""The registered EHRs, in the ledger.

Source: ports Tenants, TenantRegister.
"""

from dataclasses import asdict

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from cds_service.adapters.ledger.connection import insert_if_new, reading, writing
from cds_service.adapters.ledger.schema import tenant
from cds_service.domain.dialect import DialectName
from cds_service.domain.smart_client import ClientKind
from cds_service.domain.tenant import Tenant, Vendor
from cds_service.errors import NotFound, RegistrationRefused

_LISTS = (
    *("jkus", "algorithms", "audiences", "tenant_claims", "origins"),
    *("app_users", "reviewers"),
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
        lists = {name: list(getattr(new, name)) for name in _LISTS}
        with writing(self._engine) as connection:
            same_issuer = sa.select(tenant).where(tenant.c.hook_issuer == new.hook_issuer)
            for row in connection.execute(same_issuer):
                if not new.shares_issuer_with(_tenant(row)):
                    raise RegistrationRefused(_refusal(connection, new))
            if not insert_if_new(connection, tenant, **asdict(new) | lists):
                raise RegistrationRefused(_refusal(connection, new))

    def remove(self, tenant_id: str) -> None:
        """Forget it; raise NotFound. Its results stay for the retention period."""
        with writing(self._engine) as connection:
            removed = connection.execute(sa.delete(tenant).where(tenant.c.id == tenant_id))
            if removed.rowcount != 1:
                raise NotFound("There is no such EHR registration.")


def _refusal(connection: Connection, new: Tenant) -> str:
    for column, word in _UNIQUE:
        taken = sa.select(tenant.c.id).where(column == getattr(new, column.key))
        if connection.execute(taken).first() is not None:
            return f"An EHR with this {word} is registered already."
    if connection.execute(sa.select(tenant.c.id).where(tenant.c.id == new.id)).first() is not None:
        return "This EHR is registered already."
    return "An EHR with this hook issuer is registered already."


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
        app_users=tuple(row.app_users),
        reviewers=tuple(row.reviewers),
        critical_limit_min=row.critical_limit_min,
        language=row.language,
        shows_drafts=row.shows_drafts,
    )
