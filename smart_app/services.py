"""What the app needs from the house: one frozen value, made by the wiring.

Source: architecture "Four rings"; the app sees ports, and three small protocols of its own.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import redis
import requests
from flask import current_app
from numpy.typing import NDArray

from cds_service.domain.finding import Coding, ModelIdentity
from cds_service.domain.job import Job
from cds_service.domain.model_sheet import ModelSheet
from cds_service.domain.study import InstanceHeader, PatientFacts, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.usecases.ports import (
    Alerts,
    Archive,
    AuditLog,
    Clock,
    Doorbell,
    EhrRecord,
    JobLine,
    Jobs,
    LostJobs,
    NewId,
    Results,
    Reviews,
    ReviewWrites,
    StudyIndex,
    Tenants,
    Worklist,
)
from smart_app.model_facts import ModelFacts

EXTENSION = "sightline-app"  # its place in Flask's `app.extensions`


class Egress(Protocol):
    """The one door to other machines."""

    def session_for(self, tenant: Tenant, *, also: Iterable[str] = ()) -> requests.Session:
        """Return a session for this tenant's origins and the further public https ones."""


class Assertions(Protocol):
    """Our client assertions (SMART "Asymmetric Client Authentication")."""

    def sign(self, client_id: str, token_url: str, algorithm: str) -> str:
        """Return a fresh assertion, signed with ES384 or RS384."""

    def public_jwks(self) -> Mapping[str, Any]:
        """Return the JWK Set to publish."""


class Vault(Protocol):
    """Authenticated encryption; what is sealed for one purpose and tenant opens for no other."""

    def seal(self, purpose: str, tenant_id: str, plaintext: bytes) -> bytes:
        """Encrypt."""

    def open(self, purpose: str, tenant_id: str, sealed: bytes) -> bytes:
        """Decrypt; raise when it was sealed for something else or changed."""


@dataclass(frozen=True, slots=True)
class AppServices:
    """The collaborators of the app."""

    public_url: str  # of this service, no trailing slash
    label: str  # of the installed model: "Reference model. Not a medical device."
    tenants: Tenants
    results: Results
    jobs: Jobs
    line: JobLine
    lost_jobs: LostJobs
    reviews: Reviews
    review_writes: ReviewWrites
    worklist: Worklist
    alerts: Alerts
    doorbell: Doorbell
    dispatch: Callable[[StudyReference, PatientFacts], Job]  # one job, however often asked
    audit: AuditLog
    vault: Vault
    redis: redis.Redis
    egress: Egress
    assertions: Assertions
    ehr: EhrRecord
    index: StudyIndex  # of the archives, asked where an EHR has no ImagingStudy
    archive: Archive  # under our own credentials
    archive_as: Callable[[str], Archive]  # under this access token, at a study's own address
    # One decoded frame, counted from 1: (rows, columns), larger is brighter; raises StudyUnusable.
    read_pixels: Callable[[bytes, int], NDArray[np.float32]]
    # What its header says; raises StudyUnusable.
    read_header: Callable[[bytes], InstanceHeader]
    # The card of the model that computed a result; None when it is not installed any more.
    model_facts: Callable[[ModelIdentity], ModelFacts | None]
    model_sheet: Callable[[str], ModelSheet | None]  # of an installed model
    looked_for: tuple[Coding, ...]  # the installed model's findings
    modalities: tuple[str, ...]  # that it takes
    count_sign_in: Callable[[str], None]  # of an address; raises TooManyCalls
    clock: Clock
    new_id: NewId

    @property
    def redirect_uri(self) -> str:
        """Where authorization servers send the browser back to."""
        return f"{self.public_url}/app/callback"


def services() -> AppServices:
    """Return the collaborators of the application that handles this request."""
    return cast(AppServices, current_app.extensions[EXTENSION])
