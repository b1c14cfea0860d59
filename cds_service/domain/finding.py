"""Findings: what a model said about one study, or why it said nothing.

Source: architecture "Three keys"; DICOM PS3.5 B.2 (UUID derived UIDs); FHIR R4 Observation.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from uuid import UUID, uuid5

# Namespace of every UUIDv5 that Sightline derives; drawn once at random, never changes.
SIGHTLINE_NAMESPACE = UUID("6f1d9f5e-5d0f-4f4e-9b57-0f3a2c8f7f10")


class AnalysisStatus(StrEnum):
    """Whether there is a number."""

    ANALYSED = "analysed"
    NOT_ANALYSED = "not_analysed"


@dataclass(frozen=True, slots=True)
class Coding:
    """A code with its system and its display."""

    system: str
    code: str
    display: str


@dataclass(frozen=True, slots=True)
class ModelIdentity:
    """Which model, which version, which bytes."""

    id: str
    version: str
    digest: str  # "sha256:" and 64 hex digits, of model.onnx
    title: str = ""
    label: str = ""  # "Reference model ... Not a medical device."

    @property
    def configuration(self) -> str:
        """Digest what besides the weights decides a result: the card, by its version."""
        return _digest("configuration", self.id, self.version)

    def is_same_version_as(self, other: "ModelIdentity") -> bool:
        """Tell whether both decide alike: the words about them may differ."""
        mine = (self.id, self.version, self.digest)
        return mine == (other.id, other.version, other.digest)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in the image, in pixels of the stored matrix; the upper left corner is 0, 0."""

    left: int
    top: int
    width: int
    height: int


class MapMethod(StrEnum):
    """How a map was made."""

    ACTIVATION = "class-activation"  # from the feature maps that gave the score
    OCCLUSION = "occlusion"  # by hiding parts of the image, one after the other


@dataclass(frozen=True, slots=True)
class Activation:
    """A map of what raised the score, over the whole image: rows x columns, 0..1, row by row."""

    rows: int
    columns: int
    values: tuple[float, ...]
    method: MapMethod = MapMethod.ACTIVATION


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding of one study, from the image in which it was most probable."""

    coding: Coding
    probability: float  # 0..1, calibrated
    threshold: float  # the operating point, from the model card
    present: bool | None  # None: inside the abstain band, the model cannot tell
    series_uid: str
    sop_uid: str
    critical: bool = False  # the model card says that this finding is critical
    region: Box | None = None
    activation: Activation | None = None
    guards: tuple[str, ...] = ()  # codes of the checks that its image passed; none: not kept
    body_site: Coding | None = None  # where it was looked for; None: the model card does not say
    frame: int = 1  # of its image, from 1


@dataclass(frozen=True, slots=True)
class Reason:
    """Why there is no number: a stable code for machines, a clause for people."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class InstanceReason:
    """Why one instance of a study was not used. `path` is None when it came from an archive."""

    code: str
    text: str
    sop_uid: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the steps took, in milliseconds."""

    read: float
    prepare: float
    infer: float
    total: float


@dataclass(frozen=True, slots=True)
class PixelDigest:
    """What a compressed frame decoded to; of a native one the instance digest says as much."""

    instance: str  # `instance_digest` of its file
    frame: int  # from 1
    sha256: str  # 64 hex digits, of the stored values in little endian
    decoder: str = ""  # with its version, where coding is lossy: others may round otherwise

    def contradicts(self, other: "PixelDigest") -> bool:
        """Tell whether the very same frame gave other pixels."""
        mine, theirs = ((d.instance, d.frame, d.decoder) for d in (self, other))
        return mine == theirs and self.sha256 != other.sha256


@dataclass(frozen=True, slots=True)
class Analysis:
    """The outcome of one model on one study: findings, or the reason that there are none."""

    study_uid: str | None
    status: AnalysisStatus
    reason: Reason | None
    model: ModelIdentity
    findings: tuple[Finding, ...]
    instances: tuple[InstanceReason, ...]
    instance_digests: tuple[str, ...]  # sorted SHA-256 of the instances that were used
    timings: Timings
    notes: tuple[str, ...] = ()  # codes of what was odd or repaired; for administrators
    pixel_digests: tuple[PixelDigest, ...] = ()  # of the compressed images that were decoded

    @property
    def unused(self) -> tuple[InstanceReason, ...]:
        """The images that were not used; what holds no image, such as a report, is none."""
        return tuple(reason for reason in self.instances if reason.code != "no-image")

    @property
    def is_partial(self) -> bool:
        """Whether some images gave the findings and others could not be used."""
        return self.status is AnalysisStatus.ANALYSED and bool(self.unused)


MOVED = "moved/"  # before the patient of a result that is nobody's any more; in no FHIR id


@dataclass(frozen=True, slots=True)
class Result:
    """An analysis as the ledger keeps it: bound to a tenant, a patient and a study."""

    id: str
    key: str
    tenant_id: str
    patient_id: str
    study_uid: str
    imaging_study_id: str | None
    study_started: datetime | None
    study_description: str
    analysis: Analysis
    computed_at: datetime

    @property
    def has_moved(self) -> bool:
        """Whether the EHR has given the study to another patient since: it is nobody's."""
        return self.patient_id.startswith(MOVED)


def score_text(probability: float) -> str:
    """Say a probability with two digits; never 0.00 or 1.00, because no model is certain."""
    if probability >= 0.995:
        return ">0.99"
    return "<0.01" if probability < 0.005 else f"{probability:.2f}"


def _digest(*parts: str) -> str:
    """Hash parts so that no two different lists give the same text."""
    return sha256("\x1f".join(f"{len(part)}:{part}" for part in parts).encode()).hexdigest()


def dispatch_key(
    tenant_id: str,
    patient_id: str,
    study_uid: str,
    series_count: int | None,
    instance_count: int | None,
    model_digest: str,
    configuration: str,
) -> str:
    """Name the work that a hook asks for: the same key is one job, however many hooks ask.

    A study that the EHR gives to another patient is new work: whose it is was judged for the first.
    """
    return _digest(
        "dispatch",
        tenant_id,
        patient_id,
        study_uid,
        str(series_count),
        str(instance_count),
        model_digest,
        configuration,
    )


def result_key(
    tenant_id: str,
    patient_id: str,
    study_uid: str,
    instance_digests: tuple[str, ...],
    model_digest: str,
    configuration: str,
    *,
    is_mismatch: bool = False,
) -> str:
    """Name a result: the same instances, model and configuration are never run twice.

    is_mismatch   the images did not agree with the patient: another result, for they may do so
                  once the EHR has put the patient's data right
    """
    kind, owner = "mismatch" if is_mismatch else "result", (tenant_id, patient_id, study_uid)
    return _digest(kind, *owner, *sorted(instance_digests), model_digest, configuration)


def finding_uuid(tenant_id: str, study_uid: str, model_id: str, finding_code: str) -> UUID:
    """Name a finding across re-runs: no digest and no version, so a re-run updates it."""
    return uuid5(
        SIGHTLINE_NAMESPACE, _digest("finding", tenant_id, study_uid, model_id, finding_code)
    )


def tracking_uid(finding: UUID) -> str:
    """Turn a finding's UUID into its DICOM tracking UID (PS3.5 B.2: "2.25." and the integer)."""
    return f"2.25.{finding.int}"
