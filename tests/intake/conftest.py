"""The sandbox EHR over HTTP, and a Sightline beside it whose doors are what a test opens.

Redis is away, as it may be: a job then waits in the ledger for the sweep.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import sqlalchemy as sa
from joserfc.jwk import KeySetSerialization

from cds_service import wiring
from cds_service.adapters.ledger import schema
from cds_service.adapters.ledger.encoding import study_from
from cds_service.domain.intake import Door
from cds_service.domain.study import StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.intake.receive import IntakeDesk
from cds_service.sandbox.authorization import SIGHTLINE_SCOPES
from cds_service.settings import Settings
from tests.builders import a_tenant
from tests.real.sandbox import LiveSandbox, live_sandbox

Json = dict[str, Any]


@dataclass
class Hospital:
    """An EHR and the Sightline that it is registered with."""

    ehr: LiveSandbox
    settings: Settings
    house: wiring.House
    tenant: Tenant

    @property
    def desk(self) -> IntakeDesk:
        return wiring.intake_desk(self.settings, self.house)

    def open(self, door: Door, change_feed: str | None = None) -> Tenant:
        """Open a door and return the EHR's registration as it is then."""
        self.house.tenants.set_door(self.tenant.id, door, is_open=True)
        if change_feed:
            self.house.tenants.set_change_feed(self.tenant.id, change_feed)
        self.tenant = self.house.tenants.get(self.tenant.id)
        return self.tenant

    def admit(self, number: int = 1, patient: str = "p-1", **changes: Any) -> str:
        """Put a patient with one study into the EHR; return the study's UID."""
        uid = f"1.2.840.99999.{number}"
        people = self.ehr.parts.fhir
        people.update({"resourceType": "Patient", "id": patient, "birthDate": "2023-01-01"})
        people.update(a_study(f"s-{number}", uid, patient) | changes)
        return uid

    def asked(self) -> list[StudyReference]:
        """Return the study of every job, oldest first."""
        with self.house.engine.connect() as connection:
            rows = connection.execute(
                sa.select(schema.job.c.study).order_by(schema.job.c.created_at)
            )
            return [study_from(row.study) for row in rows]


def a_study(study_id: str, uid: str, patient: str) -> Json:
    return {
        "resourceType": "ImagingStudy",
        "id": study_id,
        "status": "available",
        "identifier": [{"system": "urn:dicom:uid", "value": f"urn:oid:{uid}"}],
        "subject": {"reference": f"Patient/{patient}"},
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "numberOfSeries": 1,
        "numberOfInstances": 1,
        "series": [{"uid": f"{uid}.1", "modality": {"code": "DX"}}],
    }


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveSandbox]:
    with live_sandbox(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def hospital(live: LiveSandbox, tmp_path: Path) -> Iterator[Hospital]:
    settings = Settings.from_env(
        {
            "SIGHTLINE_PUBLIC_URL": "http://127.0.0.1:9",
            "SIGHTLINE_DATA": str(tmp_path / "data"),
            "SIGHTLINE_REDIS_URL": "redis://127.0.0.1:9/0",
        }
    )
    wiring.prepare_installation(settings)
    house = wiring.open_house(settings)
    keys = cast(KeySetSerialization, house.assertion.public_jwks())
    live.parts.authorization.register_client("sightline", keys, (), SIGHTLINE_SCOPES)
    config = live.parts.config
    tenant = replace(
        a_tenant(),
        fhir_base=config.fhir_base,
        archive_base=config.archive_base,
        jwks=None,
        jwks_url=f"{config.auth_base}/jwks.json",
    )
    house.tenants.add(tenant)
    _forget_studies(live)
    yield Hospital(live, settings, house, tenant)
    house.engine.dispose()


def _forget_studies(live: LiveSandbox) -> None:
    """The record is one for all tests: remove what an earlier one put there."""
    for resource in live.parts.fhir.search("ImagingStudy", {}):
        live.parts.fhir.remove("ImagingStudy", resource["id"])


def environment(settings: Settings) -> dict[str, str]:
    """Return what a command needs to find this installation."""
    return {
        **os.environ,
        "SIGHTLINE_PUBLIC_URL": settings.public_url,
        "SIGHTLINE_DATA": str(settings.data),
        "SIGHTLINE_REDIS_URL": settings.redis_url,
    }
