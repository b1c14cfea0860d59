"""An archive, a reader and a classifier in memory, held to the contracts of the real ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from cds_service.domain.accession import IndexedStudy
from cds_service.domain.finding import Activation, Box, Coding, ModelIdentity
from cds_service.domain.guards import IntendedUse
from cds_service.domain.study import InstanceHeader, SeriesReference, StudyReference
from cds_service.domain.tenant import Tenant
from cds_service.errors import SightlineError, StudyIncomplete, StudyTooLarge, StudyUnusable
from cds_service.usecases.ports import Budget, Classification, Heat, ImageFinding, Pixels
from tests.builders import PNEUMONIA, a_model

STUDY_UID = "1.2.840.99999.1"
SERIES_UID = "1.2.840.99999.1.1"


def a_use(**changes: Any) -> IntendedUse:
    values: dict[str, Any] = {
        "modalities": frozenset({"CR", "DX"}),
        "body_parts": frozenset({"CHEST"}),
        "views": frozenset({"AP", "PA"}),
        "min_age_days": 365,
        "max_age_days": 2190,
        "population": "children aged 1-5",
        "projection": "frontal chest X-rays",
    }
    return IntendedUse(**(values | changes))


def a_header(**changes: Any) -> InstanceHeader:
    """A header of a frontal chest film of a child of three, of the patient of `a_patient`."""
    values: dict[str, Any] = {
        "study_uid": STUDY_UID,
        "series_uid": SERIES_UID,
        "sop_uid": "1.2.840.99999.1.1.1",
        "sop_class": "1.2.840.10008.5.1.4.1.1.1.1",
        "modality": "DX",
        "body_part": "CHEST",
        "view": "AP",
        "laterality": "",
        "patient_age_days": 3 * 365 + 1,
        "study_date": None,
        "patient_id": "MRN-1",
        "patient_birth_date": None,
        "patient_sex": None,
        "rows": 512,
        "columns": 512,
    }
    return InstanceHeader(**(values | changes))


class FakeArchive:
    """An archive of studies in memory; `fails_with` makes it break before the first instance."""

    def __init__(
        self,
        studies: Mapping[str, Sequence[bytes]] | None = None,
        *,
        fails_with: SightlineError | None = None,
    ) -> None:
        self._studies = dict(studies or {})
        self._fails_with = fails_with
        self.fetched: list[str] = []
        self.budgets: list[Budget] = []
        self.listed: tuple[SeriesReference, ...] = ()  # of every study

    def instances(self, tenant: Tenant, study: StudyReference, budget: Budget) -> Iterator[bytes]:
        self._check(tenant, study)
        self.budgets.append(budget)
        left = budget.bytes
        for count, instance in enumerate(self._studies[study.study_uid], 1):
            left -= len(instance)
            if left < 0 or count > budget.instances:
                raise StudyTooLarge("too-large", "it is larger than this service reads")
            yield instance

    def instance(
        self, tenant: Tenant, study: StudyReference, series_uid: str, sop_uid: str
    ) -> bytes:
        self._check(tenant, study)
        return self._studies[study.study_uid][0]

    def series(self, tenant: Tenant, study: StudyReference) -> tuple[SeriesReference, ...]:
        if self._fails_with is not None:
            raise self._fails_with
        return self.listed

    def _check(self, tenant: Tenant, study: StudyReference) -> None:
        self.fetched.append(study.study_uid)
        if self._fails_with is not None:
            raise self._fails_with
        if not (study.archive_url or tenant.archive_base):
            raise StudyIncomplete("no-endpoint", "the EHR names no archive for it")
        if study.study_uid not in self._studies:
            raise StudyIncomplete("not-in-archive", "the archive does not have its images")


@dataclass
class FakeIndex:
    """The index of an archive in memory, by accession number."""

    studies: dict[str, list[IndexedStudy]] = field(default_factory=dict)
    fails_with: SightlineError | None = None
    asked: list[str] = field(default_factory=list)

    def of_accession(self, tenant: Tenant, number: str) -> list[IndexedStudy]:
        self.asked.append(number)
        if self.fails_with is not None:
            raise self.fails_with
        return self.studies.get(number, []) if tenant.archives else []


@dataclass(frozen=True)
class FakePixels:
    """Pixels that are nothing but the probability which the fake classifier gives them."""

    probability: float
    rows: int = 512
    columns: int = 512
    notes: tuple[str, ...] = ()
    sha256: str | None = None
    lossy_decoder: str = ""


@dataclass
class FakeReader:
    """Maps instances to a header and an outcome: a probability or a refusal."""

    images: dict[bytes, tuple[InstanceHeader | StudyUnusable, float | StudyUnusable]] = field(
        default_factory=dict
    )
    frames_read: list[int] = field(default_factory=list)
    sha256: str | None = None  # of the pixels of every image

    def holding(
        self,
        name: bytes,
        outcome: float | StudyUnusable = 0.1,
        header: InstanceHeader | StudyUnusable | None = None,
    ) -> bytes:
        """Know one more instance and return it; each has its own SOP Instance UID."""
        number = len(self.images) + 1
        self.images[name] = (
            replace(a_header(), sop_uid=f"{SERIES_UID}.{number}") if header is None else header,
            outcome,
        )
        return name

    def header(self, instance: bytes) -> InstanceHeader:
        header = self.images[instance][0]
        if isinstance(header, StudyUnusable):
            raise header
        return header

    def pixels(self, instance: bytes, frame: int = 1) -> FakePixels:
        self.frames_read.append(frame)
        outcome = self.images[instance][1]
        if isinstance(outcome, StudyUnusable):
            raise outcome
        return FakePixels(outcome, sha256=self.sha256)


@dataclass
class FakeClassifier:
    """Gives each image the probability that its pixels carry."""

    identity: ModelIdentity = field(default_factory=a_model)
    intended_use: IntendedUse = field(default_factory=a_use)
    finding: Coding = PNEUMONIA
    threshold: float = 0.62
    critical: bool = False
    fails_with: SightlineError | None = None

    def classify(self, pixels: Pixels) -> Classification:
        if self.fails_with is not None:
            raise self.fails_with
        assert isinstance(pixels, FakePixels)
        said = ImageFinding(
            coding=self.finding,
            probability=pixels.probability,
            threshold=self.threshold,
            present=pixels.probability > self.threshold,
            critical=self.critical,
            heat=Heat(Activation(1, 2, (0.0, 1.0)), Box(256, 0, 256, 512)),
        )
        return Classification((said,), prepare_ms=1.0, infer_ms=2.0)
