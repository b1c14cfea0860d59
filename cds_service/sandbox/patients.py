"""The people of the sandbox: who they are and which studies they bring, as rows.

All are invented. Birth and study dates hang on the day the sandbox is filled, so that the ages,
and with them what the model may read, hold on any day.
Source: FHIR R4 Patient, ImagingStudy; DICOM PS3.3 C.7.1.1 (Patient), C.7.2.1 (General Study).
"""

import uuid
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum

MRN_ROOT = "2.16.840.1.113883.19.5"  # HL7's root for examples
MRN_SYSTEM = f"urn:oid:{MRN_ROOT}"
ACCESSION_SYSTEM = f"urn:oid:{MRN_ROOT}.1"
CLINICIAN_NAME = "Robin Makebelieve"
_UID_NAMESPACE = uuid.UUID("6a2f6a55-6c4e-4f0c-9a83-3f4dd7a1c0de")
_DAYS_PER_YEAR = 365.25


class Picture(StrEnum):
    """What is drawn in an image: a composite radiograph, or a phantom computed from ellipsoids."""

    PRESENT = "present"
    ABSENT = "absent"
    LATERAL = "lateral"
    SECTIONS = "sections"


@dataclass(frozen=True, slots=True)
class Person:
    """What the EHR and the DICOM header both state about somebody; `sex` is M or F."""

    mrn: str
    family: str
    given: str
    sex: str
    age_years: int
    past_birthday_days: int  # how long ago the last birthday was, about

    def birth_date(self, today: date) -> date:
        """Count back from `today`, the day the sandbox is filled."""
        return today - timedelta(
            days=round(self.age_years * _DAYS_PER_YEAR) + self.past_birthday_days
        )


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One imaging study: when, how, and with which picture."""

    accession: str
    days_ago: int
    at: time  # UTC
    picture: Picture
    nth: int = 0  # which of the composite pictures of that kind, from 0
    modality: str = "DX"
    view: str = "AP"  # View Position (0018,5101); "" where it does not apply
    description: str = "Chest X-ray"
    is_monochrome1: bool = False
    is_truncated: bool = False  # the archive's copy lost part of its pixel data
    dicom_of: Person | None = None  # whom the images name, where it is not the patient

    def started(self, today: date) -> datetime:
        """Return when the study began."""
        return datetime.combine(today - timedelta(days=self.days_ago), self.at, UTC)

    def uid(self, today: date) -> str:
        """Return the Study Instance UID, the same for the same row and day."""
        return derived_uid("study", self.accession, today.isoformat())

    def series_uid(self, today: date) -> str:
        """Return the UID of the study's only series."""
        return derived_uid("series", self.accession, today.isoformat())

    def instance_uid(self, today: date, number: int) -> str:
        """Return the SOP Instance UID of the image with that Instance Number, from 1."""
        return derived_uid("instance", self.accession, today.isoformat(), str(number))


@dataclass(frozen=True, slots=True)
class PatientRow:
    """A patient of the sandbox; `shows` says in a few words what a newcomer will see."""

    id: str  # logical id of the FHIR Patient
    person: Person
    reason: str  # of the visit
    shows: str
    studies: tuple[StudyRow, ...] = ()  # newest first
    is_analysed_beforehand: bool = True


def derived_uid(*parts: str) -> str:
    """Make a UID that depends on nothing but `parts` (DICOM PS3.5 B.2, "2.25." + a UUID)."""
    return f"2.25.{uuid.uuid5(_UID_NAMESPACE, '/'.join(parts)).int}"


PATIENTS = (
    PatientRow(
        "p101",
        Person("SBX-1001", "Sampleton", "Otto", "M", 3, 150),
        "Cough and fever for three days",
        "signs of pneumonia",
        (StudyRow("A-24001", 1, time(9, 12), Picture.PRESENT, nth=0),),
    ),
    PatientRow(
        "p102",
        Person("SBX-1002", "Beispiel", "Zoë", "F", 4, 95),
        "Check before surgery",
        "no signs of pneumonia",
        (
            StudyRow(
                "A-24002", 2, time(14, 40), Picture.ABSENT, nth=0, view="PA", is_monochrome1=True
            ),
        ),
    ),
    PatientRow(
        "p103",
        Person("SBX-1003", "Mockridge", "Gregor", "M", 61, 200),
        "Shortness of breath",
        "not analysed: an adult",
        (StudyRow("A-24003", 3, time(11, 5), Picture.ABSENT, nth=1, view="PA"),),
    ),
    PatientRow(
        "p104",
        Person("SBX-1004", "Placeholder", "Lila", "F", 2, 120),
        "Swallowed a coin",
        "not analysed: lateral view",
        (
            StudyRow(
                "A-24004",
                1,
                time(16, 21),
                Picture.LATERAL,
                view="LL",
                description="Chest X-ray, lateral",
            ),
        ),
    ),
    PatientRow(
        "p105",
        Person("SBX-1005", "Examplewood", "Kofi", "M", 5, 60),
        "Follow-up of a cyst",
        "not analysed: CT",
        (
            StudyRow(
                "A-24005",
                6,
                time(8, 33),
                Picture.SECTIONS,
                modality="CT",
                view="",
                description="CT chest",
            ),
        ),
    ),
    PatientRow(
        "p106",
        Person("SBX-1006", "Lookalike", "Juno", "F", 4, 210),
        "Fever",
        "not analysed: images name another person",
        (
            StudyRow(
                "A-24006",
                2,
                time(10, 2),
                Picture.PRESENT,
                nth=0,
                dicom_of=Person("SBX-2086", "Elsewhere", "Bruno", "M", 2, 40),
            ),
        ),
    ),
    PatientRow(
        "p107",
        Person("SBX-1007", "Fixture", "Inés", "F", 3, 250),
        "Cough again since Monday",
        "signs of pneumonia, and a prior without",
        (
            StudyRow("A-24007", 1, time(7, 55), Picture.PRESENT, nth=2),
            StudyRow("A-23107", 118, time(13, 18), Picture.ABSENT, nth=2),
        ),
    ),
    PatientRow(
        "p108",
        Person("SBX-1008", "Nowhere", "Teodor", "M", 2, 30),
        "Vaccination",
        "no imaging",
    ),
    PatientRow(
        "p109",
        Person("SBX-1009", "Firstlight", "Wren", "F", 1, 170),
        "Fast breathing since last night",
        "first opening: the analysis starts now",
        (StudyRow("A-24009", 1, time(21, 36), Picture.PRESENT, nth=1),),
        is_analysed_beforehand=False,
    ),
    PatientRow(
        "p110",
        Person("SBX-1010", "Brokenbyte", "Casimir", "M", 4, 15),
        "Fall from a swing",
        "not analysed: damaged image",
        (StudyRow("A-24010", 5, time(17, 45), Picture.ABSENT, nth=1, is_truncated=True),),
    ),
)
