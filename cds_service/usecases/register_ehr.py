"""Register an EHR, change or remove it: from then on its addresses are trusted, and no others.

Source: CDS Hooks 2.0 "Trusting CDS Clients".
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

from cds_service.domain.audit import AuditAction
from cds_service.domain.smart_client import ClientKind
from cds_service.domain.tenant import Tenant
from cds_service.errors import RegistrationRefused
from cds_service.usecases.note_change import note_change
from cds_service.usecases.ports import AuditLog, Clock, NewId, TenantRegister
from cds_service.usecases.registration import (
    Registration,
    client_secret,
    described,
    registration_of,
)

SealSecret = Callable[[str, str], bytes]  # of a tenant id and a secret


def register_ehr(
    registration: Registration,
    *,
    register: TenantRegister,
    audit: AuditLog,
    clock: Clock,
    new_id: NewId,
    seal_secret: SealSecret,
) -> Tenant:
    """Return the new tenant; raise RegistrationRefused with a sentence naming the field.

    seal_secret   `seal_client_secret` with the installation's vault: tenant id and secret
    """
    tenant_id = new_id()
    secret = client_secret(registration)
    sealed = None if secret is None else seal_secret(tenant_id, secret)
    tenant = Tenant(id=tenant_id, client_secret=sealed, **described(registration))
    register.add(tenant)
    note_change(AuditAction.EHR_REGISTERED, tenant.id, audit=audit, clock=clock)
    return tenant


def change_ehr(
    tenant: Tenant,
    changes: Mapping[str, object],
    *,
    register: TenantRegister,
    audit: AuditLog,
    clock: Clock,
    seal_secret: SealSecret,
) -> Tenant:
    """Return the tenant as changed; its results, reviews and policies of elsewhere stay.

    changes   fields of Registration; a new vendor brings its dialect unless one is named
    Raises RegistrationRefused with a sentence naming the field, and NotFound.

    The credentials of an archive that it names no more are forgotten.
    The FHIR base stays: behind another one the same patient ids may be other people's.
    """
    if changes.get("fhir_base", tenant.fhir_base) != tenant.fhir_base:
        raise RegistrationRefused("Another FHIR base is another EHR: add it, and remove this one.")
    if "vendor" in changes:
        changes = {"dialect": None} | dict(changes)
    registration = replace(registration_of(tenant), **changes)  # type: ignore[arg-type]
    kept = tenant.client_secret if registration.client_kind is ClientKind.SYMMETRIC else None
    secret = client_secret(registration, has_one=kept is not None)
    sealed = kept if secret is None else seal_secret(tenant.id, secret)
    changed = replace(tenant, client_secret=sealed, **described(registration))
    changed = replace(changed, archive_credentials=changed.credentials_in_use)
    register.change(changed)
    note_change(AuditAction.EHR_CHANGED, tenant.id, audit=audit, clock=clock)
    return changed


def remove_ehr(tenant_id: str, *, register: TenantRegister, audit: AuditLog, clock: Clock) -> None:
    """Forget the registration, its results stay; raise NotFound."""
    register.remove(tenant_id)
    note_change(AuditAction.EHR_REMOVED, tenant_id, audit=audit, clock=clock)
