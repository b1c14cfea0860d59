"""The inbox's index in the ledger: what is held, for whom, and since when.

Source: ports of `cds_service/intake/inbox.py`; architecture "one clock decides who holds a lease".
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from cds_service.adapters.ledger.connection import (
    insert_if_new,
    ledger_clock,
    reading,
    writing,
)
from cds_service.adapters.ledger.schema import inbox_instance, inbox_study, push_credential, tenant
from cds_service.adapters.vault import Vault
from cds_service.domain.inbox import (
    CredentialKind,
    Failure,
    HeldStudy,
    PushedInstance,
    Quota,
)
from cds_service.errors import InboxFull, InstanceRefused
from cds_service.usecases.ports import Clock

_PURPOSE = "pushed accession"


class SqlInbox:
    """The tables inbox_study and inbox_instance; accession numbers are sealed."""

    def __init__(self, engine: Engine, vault: Vault, *, clock: Clock | None = None) -> None:
        self._engine, self._vault = engine, vault
        self._now = ledger_clock(clock)

    def room(self, tenant_id: str, quota: Quota) -> int:
        """Return how many bytes the next instance may have; raise InboxFull when none."""
        with reading(self._engine) as connection:
            held_bytes, held = _held(connection, tenant_id)
        left = min(quota.bytes - held_bytes, quota.instance_bytes)
        if left <= 0 or held >= quota.instances:
            raise InboxFull("The inbox of this EHR is full.")
        return left

    def add(
        self, tenant_id: str, instance: PushedInstance, digest: str, size: int, quota: Quota
    ) -> bool:
        """Note a kept file; False when the very same one is held already.

        The study waits again to be quiet, and is bound to nobody. Raises InstanceRefused when
        other bytes are held under this SOP Instance UID, InboxFull.
        """
        with writing(self._engine) as connection:
            # One at a time for each tenant, or two could fill the last place.
            connection.execute(
                sa.select(tenant.c.id).where(tenant.c.id == tenant_id).with_for_update()
            )
            held_bytes, held = _held(connection, tenant_id)
            if self._is_held(connection, tenant_id, instance.sop_uid, digest):
                return False
            if held_bytes + size > quota.bytes or held >= quota.instances:
                raise InboxFull("The inbox of this EHR is full.")
            now = self._now(connection)
            self._touch(connection, tenant_id, instance, now)
            connection.execute(
                sa.insert(inbox_instance).values(
                    tenant_id=tenant_id,
                    sop_uid=instance.sop_uid,
                    study_uid=instance.study_uid,
                    digest=digest,
                    bytes=size,
                    arrived_at=now,
                )
            )
            return True

    def quiet(self, quiet_for: timedelta, ask_again: timedelta) -> list[HeldStudy]:
        """Return the unbound studies to which nothing has come for so long, the oldest first.

        One that nobody could be found for is returned again after `ask_again`.
        """
        with reading(self._engine) as connection:
            now = self._now(connection)
            waiting = _studies().where(
                inbox_study.c.patient_id.is_(None),
                inbox_study.c.last_at <= now - quiet_for,
                sa.or_(
                    inbox_study.c.asked_at.is_(None),
                    inbox_study.c.asked_at <= now - ask_again,
                ),
            )
            return [self._study(row) for row in connection.execute(waiting)]

    def asked(self, study: HeldStudy, rest: timedelta = timedelta()) -> None:
        """Note that the EHR was asked and did not know whose study it is.

        rest   for which it is not asked again, beside `ask_again`
        """
        with writing(self._engine) as connection:
            as_seen = _update(study).where(inbox_study.c.last_at == study.last_at)
            connection.execute(as_seen.values(asked_at=self._now(connection) + rest))

    def bind(self, study: HeldStudy, patient_id: str) -> bool:
        """Let the study be read as this patient's; False when more of it has come meanwhile."""
        with writing(self._engine) as connection:
            as_seen = _update(study).where(inbox_study.c.last_at == study.last_at)
            now = self._now(connection)
            bound = connection.execute(as_seen.values(patient_id=patient_id, asked_at=now))
            return bound.rowcount == 1

    def release(self, study: HeldStudy, after: timedelta) -> None:
        """Bind the study to nobody, so that the EHR is asked again; not before `after` is over.

        after   since it was bound: whoever bound it may still be asking for its analysis
        """
        with writing(self._engine) as connection:
            long_bound = _update(study).where(
                inbox_study.c.last_at == study.last_at,
                inbox_study.c.asked_at <= self._now(connection) - after,
            )
            connection.execute(long_bound.values(patient_id=None))

    def bound(self) -> list[HeldStudy]:
        """Return the studies that are bound to a patient."""
        with reading(self._engine) as connection:
            rows = connection.execute(_studies().where(inbox_study.c.patient_id.is_not(None)))
            return [self._study(row) for row in rows]

    def overdue(self, after: timedelta) -> list[HeldStudy]:
        """Return the studies, bound or not, to which nothing has come for so long."""
        with reading(self._engine) as connection:
            long_ago = inbox_study.c.last_at <= self._now(connection) - after
            return [self._study(row) for row in connection.execute(_studies().where(long_ago))]

    def digests(self, tenant_id: str, study_uid: str, patient_id: str) -> list[str]:
        """Return the files of a study that is bound to this patient, in the order they came."""
        of_study = (
            sa.select(inbox_instance.c.digest)
            .join(
                inbox_study,
                sa.and_(
                    inbox_study.c.tenant_id == inbox_instance.c.tenant_id,
                    inbox_study.c.study_uid == inbox_instance.c.study_uid,
                ),
            )
            .where(
                inbox_study.c.tenant_id == tenant_id,
                inbox_study.c.study_uid == study_uid,
                inbox_study.c.patient_id == patient_id,
            )
            .order_by(inbox_instance.c.arrived_at, inbox_instance.c.sop_uid)
        )
        with reading(self._engine) as connection:
            return list(connection.execute(of_study).scalars())

    def is_known(self, digest: str) -> bool:
        """Tell whether any tenant's inbox has a file of this digest."""
        with reading(self._engine) as connection:
            named = sa.select(inbox_instance.c.sop_uid).where(inbox_instance.c.digest == digest)
            return connection.execute(named).first() is not None

    def forget(self, study: HeldStudy) -> list[str]:
        """Forget the study unless more of it has come; return the digests of the files to erase."""
        with writing(self._engine) as connection:
            gone = sa.delete(inbox_study).where(*_is(study), inbox_study.c.last_at == study.last_at)
            if connection.execute(gone).rowcount != 1:
                return []
            of_study = (
                inbox_instance.c.tenant_id == study.tenant_id,
                inbox_instance.c.study_uid == study.study_uid,
            )
            digests = connection.execute(sa.select(inbox_instance.c.digest).where(*of_study))
            found = list(digests.scalars())
            connection.execute(sa.delete(inbox_instance).where(*of_study))
            return found

    def _is_held(self, connection: Connection, tenant_id: str, sop_uid: str, digest: str) -> bool:
        held = connection.execute(
            sa.select(inbox_instance.c.digest).where(
                inbox_instance.c.tenant_id == tenant_id, inbox_instance.c.sop_uid == sop_uid
            )
        ).scalar_one_or_none()
        if held not in (None, digest):
            raise InstanceRefused(
                Failure.PROCESSING, "Another instance with this identifier is being analysed."
            )
        return held is not None

    def _touch(
        self, connection: Connection, tenant_id: str, instance: PushedInstance, now: datetime
    ) -> None:
        sealed = None
        if instance.accession is not None:
            sealed = self._vault.seal(_PURPOSE, tenant_id, instance.accession.encode())
        key = {"tenant_id": tenant_id, "study_uid": instance.study_uid}
        is_new = insert_if_new(
            connection, inbox_study, **key, sealed_accession=sealed, first_at=now, last_at=now
        )
        if not is_new:
            connection.execute(
                sa.update(inbox_study)
                .filter_by(**key)
                .values(last_at=now, patient_id=None, asked_at=None)
            )

    def _study(self, row: Row[tuple[object, ...]]) -> HeldStudy:
        accession = None
        if row.sealed_accession is not None:
            opened = self._vault.open(_PURPOSE, row.tenant_id, row.sealed_accession)
            accession = opened.decode()
        return HeldStudy(
            tenant_id=row.tenant_id,
            study_uid=row.study_uid,
            first_at=row.first_at,
            last_at=row.last_at,
            instances=row.instances,
            accession=accession,
            patient_id=row.patient_id,
            asked_at=row.asked_at,
        )


class SqlPushCredentials:
    """Who may push: digests of tokens and of certificates, and nothing that could be used."""

    def __init__(self, engine: Engine, *, clock: Clock | None = None) -> None:
        self._engine = engine
        self._now = ledger_clock(clock)

    def add(self, tenant_id: str, kind: CredentialKind, digest: str) -> bool:
        """Accept it from now on; False when it is known already, whoever's it is."""
        with writing(self._engine) as connection:
            return insert_if_new(
                connection,
                push_credential,
                digest=digest,
                kind=kind,
                tenant_id=tenant_id,
                created_at=self._now(connection),
            )

    def tenant_of(self, kind: CredentialKind, digest: str) -> str | None:
        """Return whose it is."""
        with reading(self._engine) as connection:
            return connection.execute(
                sa.select(push_credential.c.tenant_id).where(
                    push_credential.c.digest == digest, push_credential.c.kind == kind
                )
            ).scalar_one_or_none()

    def remove_all(self, tenant_id: str) -> int:
        """Accept none of this tenant's any more; return how many there were."""
        with writing(self._engine) as connection:
            of_tenant = sa.delete(push_credential).where(push_credential.c.tenant_id == tenant_id)
            return connection.execute(of_tenant).rowcount


def _held(connection: Connection, tenant_id: str) -> tuple[int, int]:
    """Return bytes and number of the instances that are held."""
    found = connection.execute(
        sa.select(sa.func.coalesce(sa.func.sum(inbox_instance.c.bytes), 0), sa.func.count()).where(
            inbox_instance.c.tenant_id == tenant_id
        )
    ).one()
    return int(found[0]), int(found[1])


def _is(study: HeldStudy) -> Iterable[sa.ColumnElement[bool]]:
    return (
        inbox_study.c.tenant_id == study.tenant_id,
        inbox_study.c.study_uid == study.study_uid,
    )


def _update(study: HeldStudy) -> sa.Update:
    return sa.update(inbox_study).where(*_is(study))


def _studies() -> sa.Select[tuple[object, ...]]:
    instances = (
        sa.select(sa.func.count())
        .where(
            inbox_instance.c.tenant_id == inbox_study.c.tenant_id,
            inbox_instance.c.study_uid == inbox_study.c.study_uid,
        )
        .correlate(inbox_study)
        .scalar_subquery()
        .label("instances")
    )
    return sa.select(inbox_study, instances).order_by(inbox_study.c.first_at)
