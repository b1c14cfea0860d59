"""A study and its patient, as the EHR refers to them and as the DICOM headers state them.

Source: FHIR R4 ImagingStudy and Patient; DICOM PS3.3 C.7 (patient, study, series, image).
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from cds_service.domain.orientation import Orientation

LONG_AGO = datetime.min.replace(tzinfo=UTC)  # of what no date is stated, when the newest is sought


@dataclass(frozen=True, slots=True)
class SeriesReference:
    """One series of an ImagingStudy."""

    uid: str
    modality: str  # DICOM modality, upper case; "" when the EHR does not say
    body_sites: tuple[str, ...] = ()  # SNOMED CT codes
    instance_count: int | None = None


@dataclass(frozen=True, slots=True)
class StudyReference:
    """An ImagingStudy as the EHR states it; no pixel has been seen."""

    tenant_id: str
    study_uid: str
    patient_id: str  # logical id of the FHIR Patient, without "Patient/"
    imaging_study_id: str | None = None  # logical id of the ImagingStudy
    started: datetime | None = None
    description: str = ""
    modalities: tuple[str, ...] = ()
    series: tuple[SeriesReference, ...] = ()
    series_count: int | None = None
    instance_count: int | None = None
    archive_url: str | None = None  # of its dicom-wado-rs Endpoint, unverified until egress
    accession: str | None = field(default=None, repr=False)
    service_request_id: str | None = None  # logical id of basedOn, when there is one
    # One acquisition for several orders has a number for each (grouped procedures).
    other_accessions: tuple[str, ...] = field(default=(), repr=False)

    @property
    def accessions(self) -> tuple[str, ...]:
        """Every accession number that the EHR gives it."""
        return ((self.accession,) if self.accession else ()) + self.other_accessions


def series_for(study: StudyReference, modalities: Set[str]) -> tuple[str, ...]:
    """Return the UIDs of the series that may hold what is wanted; none: the whole study.

    It is the whole one where every series may, where none does (so that the refusal names what
    is there), and where the EHR does not list every series.
    """
    wanted = [one for one in study.series if not one.modality or one.modality in modalities]
    is_listed = study.series_count in (None, len(study.series))
    is_part = 0 < len(wanted) < len(study.series)
    return tuple(one.uid for one in wanted) if is_listed and is_part else ()


def stated_instances(study: StudyReference, modalities: Set[str]) -> int | None:
    """Return how many instances the EHR states of what `series_for` names; None: it does not."""
    return stated_of(study, series_for(study, modalities))


def stated_of(study: StudyReference, series: Sequence[str]) -> int | None:
    """Return how many instances the EHR states of these series; none: of the whole study."""
    if not series:
        return study.instance_count
    counts = [one.instance_count for one in study.series if one.uid in series]
    is_stated = None not in counts and len(counts) == len(series)
    return sum(count for count in counts if count is not None) if is_stated else None


@dataclass(frozen=True, slots=True)
class PatientFacts:
    """What the EHR says about who the patient is, kept sealed and only while a job needs it."""

    patient_id: str
    identifiers: tuple[str, ...] = field(default=(), repr=False)  # values, any system
    birth_date: date | None = field(default=None, repr=False)
    sex: str | None = field(default=None, repr=False)  # FHIR: male, female, other, unknown
    names: tuple[str, ...] = field(default=(), repr=False)  # each family and given names
    issuers: tuple[str, ...] = field(default=(), repr=False)  # OID of each identifier's, or ""
    born_in: str = field(default="", repr=False)  # "2022" or "2022-06", where no day is known


@dataclass(frozen=True, slots=True)
class InstanceHeader:
    """What one DICOM header says; None or "" where it is silent."""

    study_uid: str | None
    series_uid: str | None
    sop_uid: str | None
    sop_class: str | None
    modality: str
    body_part: str
    view: str  # View Position (0018,5101), upper case
    laterality: str
    patient_age_days: int | None  # from Patient's Age (0010,1010)
    study_date: date | None
    patient_id: str | None = field(repr=False)
    patient_birth_date: date | None = field(repr=False)
    patient_sex: str | None = field(repr=False)  # DICOM: M, F, O
    accession: str | None = field(default=None, repr=False)
    patient_name: str | None = field(default=None, repr=False)  # DICOM PN
    patient_id_issuer: str = ""  # OID (0010,0024) > (0040,0032)
    conversion_type: str = ""  # of a secondary capture: DF, DRW, DV, ...
    is_quality_control: bool = False  # a phantom, or a test of the device
    has_burned_in_text: bool = False  # that identifies or describes the patient
    transfer_syntax: str = ""
    rows: int = 0
    columns: int = 0
    frames: int = 1
    series_number: int = 0
    instance_number: int = 0  # place in its series
    spacing_mm: tuple[float, float] | None = None  # between rows, between columns
    orientation: Orientation | None = None
    elements: Mapping[str, str | float] = field(default_factory=dict, hash=False, repr=False)


@dataclass(frozen=True, slots=True)
class HeaderOverrides:
    """What a person adds on the command line where a header is silent (`sightline analyze`)."""

    patient_age_days: int | None = None
    view: str | None = None
    modality: str | None = None
    body_part: str | None = None
