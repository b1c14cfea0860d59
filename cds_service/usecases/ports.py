"""The world as the use cases see it: small protocols that adapters and fakes implement.

Every port has one fake in tests/fakes/; the same contract test runs on both.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol

from cds_service.domain.accession import IndexedStudy
from cds_service.domain.alert import AlertCount, AlertPolicies, AlertPolicy, Reaction
from cds_service.domain.archive_credential import ArchiveCredential
from cds_service.domain.audit import AuditEvent
from cds_service.domain.card import Feedback, ShownCard
from cds_service.domain.finding import Activation, Box, Coding, ModelIdentity, Result
from cds_service.domain.guards import IntendedUse as IntendedUse  # part of the Classifier port
from cds_service.domain.hook import FhirAuthorization
from cds_service.domain.instance_digest import instance_digest
from cds_service.domain.intake import Bell, Door, Heard
from cds_service.domain.job import Job, JobStep, Lease, Wait
from cds_service.domain.line import Backlog, Priority
from cds_service.domain.publication import Publication
from cds_service.domain.review import Review, ReviewWrite, WriteLease, WriteState
from cds_service.domain.study import (
    HeaderOverrides,
    InstanceHeader,
    PatientFacts,
    SeriesReference,
    StudyReference,
)
from cds_service.domain.tenant import Tenant
from cds_service.domain.worklist import Case, ChartStudy, Window

Clock = Callable[[], datetime]  # aware, UTC
NewId = Callable[[], str]  # opaque, unguessable
Resource = Mapping[str, Any]  # one FHIR resource as JSON


# --- tenants ---------------------------------------------------------------------------------


class Tenants(Protocol):
    """The registered EHRs. Read on every call, so that a registration needs no restart."""

    def get(self, tenant_id: str) -> Tenant:
        """Return the tenant; raise NotFound."""

    def all(self) -> list[Tenant]:
        """Return every tenant, by name."""


class TenantRegister(Protocol):
    """Where registrations are made."""

    def add(self, tenant: Tenant) -> None:
        """Store it; raise RegistrationRefused when its name, issuer or FHIR base is taken."""

    def change(self, tenant: Tenant) -> None:
        """Put it in the place of the one with its id; raise NotFound, and as `add` does."""

    def remove(self, tenant_id: str) -> None:
        """Forget it; raise NotFound. Its results stay for the retention period."""


class DoorRegister(Protocol):
    """Where intake doors are opened and closed."""

    def set_door(self, tenant_id: str, door: Door, *, is_open: bool) -> None:
        """Open or close it; raise NotFound. Twice has the effect of once."""

    def set_change_feed(self, tenant_id: str, address: str) -> None:
        """Store the base of its archive's change feed; raise NotFound.

        The credentials of the feed before are forgotten, unless its archive has them too.
        """


class ArchiveCredentials(Protocol):
    """Where it is kept what an archive asks for that takes no token of the EHR."""

    def set_archive_credential(self, tenant_id: str, credential: ArchiveCredential) -> None:
        """Store it in the place of its base's earlier one; raise NotFound."""

    def remove_archive_credential(self, tenant_id: str, base: str) -> bool:
        """Forget that of this base; False where there is none. Raises NotFound."""


class StudyIndex(Protocol):
    """An archive that can be asked which studies it has."""

    def of_accession(self, tenant: Tenant, number: str) -> list[IndexedStudy]:
        """Return the studies under this accession number; none where no archive is registered.

        Raises ArchiveFailed, ArchiveRefused, EndpointNotAllowed, or as a token endpoint does.
        """


class ArchiveFeed(Protocol):
    """An archive that can be asked which studies have come."""

    def read(self, tenant: Tenant, place: Mapping[str, Any]) -> Heard:
        """Return those that came to rest since `place`, which is empty the first time.

        Raises ArchiveFailed, ArchiveRefused, EndpointNotAllowed, or as a token endpoint does.
        """


class IntakeCursors(Protocol):
    """How far each intake door has read."""

    def position(self, tenant_id: str, door: Door) -> Mapping[str, Any]:
        """Return what was kept last; empty before the first time."""

    def keep(self, tenant_id: str, door: Door, position: Mapping[str, Any]) -> None:
        """Put this in its place."""


class IntakeBells(Protocol):
    """The bells that EHRs may ring: one each, known by digests of what only the EHR was told."""

    def hang(self, bell: Bell) -> None:
        """Store it, over this EHR's earlier one."""

    def of(self, tenant_id: str) -> Bell | None:
        """Return this EHR's bell."""

    def at(self, path_digest: str) -> Bell | None:
        """Return the bell with this path; one indexed read."""


# --- jobs ------------------------------------------------------------------------------------


class Jobs(Protocol):
    """The jobs of the ledger, read."""

    def get(self, job_id: str) -> Job:
        """Return the job; raise NotFound."""

    def newest_for(
        self, tenant_id: str, patient_id: str, study_uids: Sequence[str]
    ) -> dict[str, Job]:
        """Return the newest job of each of these studies; one indexed read."""

    def of_models(self, tenant_id: str, patient_id: str, study_uids: Sequence[str]) -> list[Job]:
        """Return the newest job of each of these studies for each model; one indexed read."""

    def analysing(self, tenant_id: str, patient_id: str) -> list[Job]:
        """Return this patient's jobs whose result is still to come; one indexed read."""


class DispatchedJobs(Protocol):
    """Where work is asked for."""

    def open(
        self,
        dispatch_key: str,
        study: StudyReference,
        patient: PatientFacts,
        model_id: str,
        *,
        again: bool = False,
        priority: Priority = Priority.ASKED,
    ) -> tuple[Job, bool]:
        """Return the job of this key and whether this call made it (one atomic insert).

        A key whose job has failed is opened again; one that is open or done is returned as is.
        With `again` a done one is opened too: another result has taken the place of its own.
        The priority is that of the job when it is made or opened again; one that is open is
        hastened.
        """

    def unrung(self, job_ids: Sequence[str]) -> None:
        """Note that no worker heard of these jobs: the next sweep returns them."""


class JobLine(Protocol):
    """The line in which jobs wait (`domain/line.py`)."""

    def hasten(self, job_ids: Sequence[str], priority: Priority) -> None:
        """Let those that are open count as asked for now with this priority, if that is sooner.

        A priority never falls, and none is due later than before.
        """

    def wait_for(self, job: Job) -> Wait:
        """Tell its place in the line, and an estimate where recent jobs allow one."""


class Leases(Protocol):
    """Leases with a fencing token, on the ledger's clock."""

    def take_in_turn(self, rung_id: str, owner: str) -> Lease | None:
        """Take the lease of the job whose turn it is (`domain/line.py`); None when none waits.

        A ring says that there is work; which job is done is the ledger's to say.
        """

    def take(self, job_id: str, owner: str) -> Lease | None:
        """Take the lease and raise the token by one; None when done, failed or leased."""

    def advance(self, lease: Lease, step: JobStep) -> Lease:
        """Renew the lease and note the step; raise LeaseLost when a newer token exists."""

    def finish(self, lease: Lease, result_id: str) -> None:
        """Mark the job done and forget the patient's facts; raise LeaseLost."""

    def give_up(self, lease: Lease, error: str, *, retry: bool) -> None:
        """Mark the job failed, or open again when `retry` and attempts are left; LeaseLost.

        A job that is PUBLISHING has its result: it stays at that step, is rung after five
        minutes, and the attempt is not counted.
        """


class OverdueJobs(Protocol):
    """What the sweep sees: of jobs, and of reviews whose ring is `ring_of` their result."""

    def reclaim(self) -> list[str]:
        """Return what to ring: open work with no lease or an expired one (conditional UPDATE).

        A job whose lease expired twice is quarantined instead.
        """

    def unrung(self, job_ids: Sequence[str]) -> None:
        """Note that no worker heard of these: the next sweep returns them."""


class WaitingJobs(Protocol):
    """The open jobs that nobody works on, for whoever watches over the house.

    A job waits since it last changed: since it was asked for, sent back, or left by its worker.
    """

    def waiting(self) -> list[Backlog]:
        """Return how many wait of each EHR and priority, and since when the oldest does."""

    def oldest_wait(self) -> timedelta | None:
        """Return for how long the oldest has waited, None when none waits; cheap to ask."""


class LostJobs(Protocol):
    """The jobs that nobody works on unless somebody asks again."""

    def lost(self) -> list[Job]:
        """Return the failed and the quarantined ones, newest first."""

    def release(self, job_id: str) -> bool:
        """Let it be opened again; False when it is not lost, or there is no such job.

        A quarantined job becomes a failed one, whose next crash quarantines it again.
        """


class Doorbell(Protocol):
    """The queue that wakes a worker; it carries an opaque job id and nothing else."""

    def ring(self, job_id: str) -> None:
        """Wake a worker; raise DoorbellSilent within 100 ms when the queue is away."""


# --- results ---------------------------------------------------------------------------------


class Results(Protocol):
    """What was found, per tenant, patient and study; read."""

    def get(self, result_id: str) -> Result:
        """Return it; raise NotFound."""

    def of_models(self, tenant_id: str, patient_id: str, study_uids: Sequence[str]) -> list[Result]:
        """Return the newest result of each of these studies by each model; one indexed read."""

    def studies_of(self, tenant_id: str, patient_id: str) -> list[Result]:
        """Return the results of every study of this patient that stand, newest study first.

        Of one study the newest comes first (`domain/standing.py`).
        """


class WorkerResults(Results, Protocol):
    """The same, as a worker with a lease adds to it."""

    def claim(self, lease: Lease) -> bool:
        """Take the study of this job from every other patient of the EHR; raise LeaseLost.

        What they had of it stands no more, and their jobs that were asked for before are over.
        Tells whether any had it.
        """

    def save(self, result: Result, lease: Lease) -> Result:
        """Store it, or make the stored one with the same key the newest again; raise LeaseLost."""


class Worklist(Protocol):
    """The studies of one EHR that something happened to lately."""

    def cases(
        self,
        tenant_id: str,
        window: Window,
        *,
        limit: int,
        skip: int = 0,
        only_critical: bool = False,
    ) -> list[Case]:
        """Return the cases of at most `limit` studies, the newest first, after `skip` of them.

        only_critical   studies that a result in the window found something critical in; it may
                        not stand any more
        """


class ReadableStudies(Protocol):
    """What one signed-in user's own token can read, as the EHR said a minute ago or later."""

    def among(self, studies: Iterable[ChartStudy]) -> set[ChartStudy]:
        """Return those whose Patient and ImagingStudy both can be read; raise UpstreamFailed.

        At an EHR without ImagingStudy the order or report of the study's number takes its place.
        """

    @property
    def gave_up(self) -> bool:
        """Whether the EHR refused so often that it was not asked about all of them."""


class Publications(Protocol):
    """The outbox: what has been written back."""

    def of(self, result_id: str) -> Publication | None:
        """Return what became of this result's write-back; None when never tried."""

    def record(self, publication: Publication, lease: Lease) -> None:
        """Store it; raise LeaseLost."""


class Reviews(Protocol):
    """What clinicians said about findings: a history that only grows."""

    def record(self, review: Review, *, to_chart: bool) -> None:
        """Append it; with `to_chart` its result waits to be written from the same moment on."""

    def of(self, result_id: str) -> list[Review]:
        """Return every review of this result, in the order in which they were recorded."""


class ReviewWrites(Protocol):
    """The outbox of reviews: which results' reviews wait for their EHR."""

    def of(self, result_id: str) -> ReviewWrite | None:
        """Return how far this result's reviews are; None when there is none to write."""

    def unrung(self, rings: Sequence[str]) -> None:
        """Note that no worker heard of these: the next sweep returns them."""


class WriteLeases(Protocol):
    """The same outbox as it is worked off, by one writer of a result at a time."""

    def take(self, result_id: str) -> WriteLease | None:
        """Take the lease and raise the token by one; None when nothing waits or it is leased."""

    def settle(
        self,
        lease: WriteLease,
        state: WriteState,
        *,
        references: tuple[str, ...] = (),
        lost: tuple[str, ...] = (),
    ) -> bool:
        """Note the outcome; False, and it waits on, when a newer review came. Raise LeaseLost."""

    def postpone(self, lease: WriteLease, error: str) -> None:
        """Give the lease back; it is rung again after a minute. Raise LeaseLost."""


class CardLog(Protocol):
    """Which card was shown about what, and the feedback on it."""

    def shown(self, tenant_id: str, *cards: ShownCard) -> None:
        """Remember cards, all in one write (idempotent)."""

    def record(self, feedback: Feedback) -> bool:
        """Store it once; False when the card is not one that this tenant was shown."""


class Alerts(Protocol):
    """What a site wants to see, and what its people did about findings."""

    def policies(self, tenant_id: str) -> AlertPolicies:
        """Return what the site set, else the defaults; one indexed read."""

    def reactions(self, tenant_id: str, result_ids: Sequence[str]) -> list[Reaction]:
        """Return every review of, and every feedback on, these results; one indexed read."""

    def spend(
        self,
        tenant_id: str,
        budgets: Mapping[str, int],
        wanted: Mapping[str, int],
        *,
        opens_chart: bool,
    ) -> dict[str, int]:
        """Count a chart (when one is opened) and notices, and return what each budget allows.

        Atomic: two hooks at once never get more than the budget has.
        """


class AlertSettings(Protocol):
    """Where an administrator sets and reads the above."""

    def policies(self, tenant_id: str) -> AlertPolicies:
        """Return what the site set, else the defaults."""

    def set_policy(self, tenant_id: str, finding_code: str, policy: AlertPolicy) -> None:
        """Store it, over an earlier one; "" is every finding without its own."""

    def counts(self, tenant_id: str) -> dict[str, AlertCount]:
        """Return the count of each budget that was ever asked, by its name."""


class AuditLog(Protocol):
    """The append-only audit log."""

    def record(self, event: AuditEvent) -> None:
        """Append it."""


class Replays(Protocol):
    """The JWT ids that were used (CDS Hooks 2.0: jti at most once)."""

    def use_once(self, issuer: str, jti: str, expires_at: datetime) -> bool:
        """Note it; False when it was used before. Raise LedgerUnavailable: the caller refuses."""


# --- neighbours ------------------------------------------------------------------------------


class EhrRecord(Protocol):
    """The EHR's FHIR R4 server, read."""

    def read(
        self,
        tenant: Tenant,
        path: str,
        *,
        authorization: FhirAuthorization | None,
        timeout_s: float,
    ) -> Resource:
        """Read "Patient/1" or search "ImagingStudy?patient=1" (all pages, same origin).

        With `authorization` None the tenant's Backend Services token is used.
        Raises UpstreamFailed, or ScopeDenied before any call when no granted scope allows it.
        """

    def read_on(
        self,
        tenant: Tenant,
        kind: str,
        url: str,
        *,
        authorization: FhirAuthorization | None,
        timeout_s: float,
    ) -> Resource:
        """Read a search on from its page at `url` (same origin); raises as `read`."""


class EhrWriter(Protocol):
    """The EHR's FHIR R4 server, written with Backend Services."""

    def publish(self, tenant: Tenant, bundle: Resource) -> tuple[str, ...]:
        """Post a transaction of conditional creates; return the references, in order.

        Doing it twice has the effect of doing it once. Raises UpstreamFailed.
        """

    def verify(self, tenant: Tenant, bundle: Resource) -> tuple[str, ...]:
        """Post what a clinician said of the same resources, also over what was verified before.

        A Provenance that is there already is not written again. Otherwise as `publish`.
        """


@dataclass(frozen=True, slots=True)
class Budget:
    """How much of a study is read at the most."""

    bytes: int = 512 * 1024 * 1024
    instances: int = 50
    series: tuple[str, ...] = ()  # only these, of an archive that can tell them apart; none: all


class Archive(Protocol):
    """The DICOMweb origin server that holds the pixels."""

    def instances(self, tenant: Tenant, study: StudyReference, budget: Budget) -> Iterator[bytes]:
        """Yield each instance once.

        Raises StudyIncomplete (the archive has no such study), StudyTooLarge (before the
        budget is passed), ArchiveFailed, ArchiveRefused, EndpointNotAllowed.
        """

    def instance(
        self, tenant: Tenant, study: StudyReference, series_uid: str, sop_uid: str
    ) -> bytes:
        """Return one instance; raises as `instances`."""

    def series(self, tenant: Tenant, study: StudyReference) -> tuple[SeriesReference, ...]:
        """Return the series that it lists; none where it has no list.

        Raises ArchiveFailed, ArchiveRefused, EndpointNotAllowed, StudyIncomplete.
        """


class Pixels(Protocol):
    """A decoded radiograph, opaque to use cases; larger values are brighter."""

    @property
    def rows(self) -> int:
        """Height in pixels."""

    @property
    def columns(self) -> int:
        """Width in pixels."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Codes of how it was read, such as the decoder."""

    @property
    def sha256(self) -> str | None:
        """Digest of the stored values of a compressed frame; None of a native one."""

    @property
    def lossy_decoder(self) -> str:
        """What decoded it and its version, where decoders may differ; else empty."""


class ImageReader(Protocol):
    """DICOM bytes to a header and to pixels."""

    def header(self, instance: bytes) -> InstanceHeader:
        """Parse without the pixels; raise StudyUnusable."""

    def pixels(self, instance: bytes, frame: int = 1) -> Pixels:
        """Decode a frame, from 1, apply modality LUT and polarity; raise StudyUnusable."""


@dataclass(frozen=True, slots=True)
class Heat:
    """Where the score of one finding comes from, and the hottest region, in pixels of the image."""

    activation: Activation
    region: Box | None


@dataclass(frozen=True, slots=True)
class ImageFinding:
    """What the model says about one of its findings in one image."""

    coding: Coding
    probability: float  # 0..1, calibrated
    threshold: float  # the operating point, a calibrated probability
    present: bool | None
    critical: bool = False  # the model card says that this finding is critical
    heat: Heat | None = None
    body_site: Coding | None = None  # where it is looked for, by the model card


@dataclass(frozen=True, slots=True)
class Classification:
    """What the model says about one image, in the order of its card; the same findings always."""

    findings: tuple[ImageFinding, ...]
    prepare_ms: float
    infer_ms: float
    guards: tuple[str, ...] = ()  # codes of the checks of the image that the model itself did
    # Looks for the heat, in the order of the findings, where one run of the model does not give
    # it: slow, so it is asked for only about an image that decides.
    explain: Callable[[], tuple[Heat, ...]] | None = None


class Classifier(Protocol):
    """One model, loaded."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""

    @property
    def intended_use(self) -> IntendedUse:
        """Which images it is for."""

    def classify(self, pixels: Pixels) -> Classification:
        """Run it once; raise InferenceFailed, or StudyOutOfScope for an image not its kind."""


@dataclass(frozen=True, slots=True)
class SourceInstance:
    """One instance to analyse, with where it came from when that was a file."""

    data: bytes = field(repr=False)
    path: str | None = None
    overrides: HeaderOverrides = field(default_factory=HeaderOverrides)
    digest: str = field(init=False)  # `instance_digest` of the data

    def __post_init__(self) -> None:
        object.__setattr__(self, "digest", instance_digest(self.data))
